"""What a reply asks for: STOP, START, HELP, or nothing of the kind."""

import re
import unicodedata
from enum import StrEnum


class Verdict(StrEnum):
    """What a reply asks for."""

    STOP = "stop"
    START = "start"
    HELP = "help"
    OTHER = "other"


# The FCC's words since April 2025, Twilio's, Spanish ones, and the phrases nearest to them. Written without spaces,
# for spaces do not count: people write "opt out" and "stop all".
STOP = {"stop", "stopall", "quit", "end", "revoke", "optout", "cancel", "unsubscribe"}
STOP |= {"stopplease", "pleasestop", "stoptexting", "stoptextingme", "stopmessaging", "stopmessagingme", "stoptexts"}
STOP |= {"stopit", "stopnow", "juststop", "optmeout", "unsubscribeme", "remove", "removeme", "takemeoff"}
STOP |= {"takemeoffyourlist", "takemeoffthelist", "takemeoffthislist", "donottext", "donottextme", "donttextme"}
STOP |= {"donotcontactme", "dontcontactme", "alto", "parar", "pare", "basta", "baja", "cancelar", "detener"}
START = {"start", "unstop", "yes", "optin", "resume", "subscribe", "comenzar", "empezar"}
HELP = {"help", "info", "helpme", "ayuda"}

WORDS: dict[str, Verdict] = {
    **dict.fromkeys(HELP, Verdict.HELP),
    **dict.fromkeys(START, Verdict.START),
    **dict.fromkeys(STOP, Verdict.STOP),
}
_NOT_A_LETTER = re.compile(r"[\W\d_]+")


def verdict(body: str, carrier_says: str = "") -> Verdict:
    """What the reply asks for. Case, accents, punctuation, emoji, digits and spaces do not count.

    `carrier_says` is the carrier's own reading (Twilio's OptOutType): its STOP counts, for it now blocks the person.
    """
    if carrier_says.upper() == "STOP":
        return Verdict.STOP
    plain = unicodedata.normalize("NFKD", body).casefold()
    letters = _NOT_A_LETTER.sub("", "".join(c for c in plain if not unicodedata.combining(c)))
    return WORDS.get(letters, Verdict.OTHER)
