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


# The FCC's words since April 2025, Twilio's, Spanish; spaces do not count, for people write "opt out" and "stop all".
STOP = frozenset(
    "stop stopall stopplease pleasestop stoptexting stoptextingme stopmessaging stopmessagingme stoptexts stopit"
    " stopnow juststop quit end revoke optout optmeout cancel unsubscribe unsubscribeme remove removeme"
    " takemeoff takemeoffyourlist takemeoffthelist takemeoffthislist donottext donottextme donttextme dontcontactme"
    " donotcontactme alto parar pare basta baja cancelar detener nomemandemas".split()
)
START = frozenset("start unstop yes optin resume subscribe comenzar empezar".split())
HELP = frozenset("help info helpme ayuda".split())

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
