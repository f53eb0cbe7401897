"""What a reply asks for: STOP, START, HELP, nothing of the kind, or something that a human has to read first.

Read for false negatives first: between nothing and STOP a human decides, between a human and a clear STOP it is STOP.
The words are `words/words.toml`; this is the order in which they are asked.
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from dispatcher.phrases import any_of, canonical, tokens
from dispatcher.words import TABLE


class Verdict(StrEnum):
    """What a reply asks for."""

    STOP = "stop"
    START = "start"
    HELP = "help"
    HOLD = "hold"  # hostile or unclear: further texts to the person wait for a human
    OTHER = "other"


LONGEST_READ = 4000  # characters, half of them from the end; the longest text a carrier passes on has 1,600

_SAYS, _STOP, _START = TABLE, TABLE["stop"], TABLE["start"]


def _set(words: str) -> frozenset[str]:
    return frozenset(map(canonical, words.split()))


STOP = _set(_STOP["words"]) | _set(_STOP["typos"]) | _set(_STOP["foreign"])
POLITE, FIRM = _set(_STOP["polite"]), _set(_STOP["firm"])
START, ANSWERS = _set(_START["words"]), _set(_START["answers"])
HELP = _set(_SAYS["help"]["words"])
HOLD = _set(_SAYS["hold"]["words"])
WHOLE: dict[str, Verdict] = {
    **dict.fromkeys(HOLD, Verdict.HOLD),
    **dict.fromkeys(HELP, Verdict.HELP),
    **dict.fromkeys(START, Verdict.START),
    **dict.fromkeys(STOP, Verdict.STOP),
}
STOP_PHRASE, HOLD_PHRASE = any_of(_STOP["phrases"]), any_of(_SAYS["hold"]["phrases"])
TRAP, UNCLEAR = any_of(_SAYS["traps"]["phrases"]), any_of(_SAYS["traps"]["unclear"])
SIGNS = {name: frozenset(signs.split()) for name, signs in _SAYS["signs"].items()}

# What phones send when somebody taps a reaction onto a text of ours: it quotes the text, way out included, and no more.
_REACTION = re.compile(
    r"\s*(?:(liked|loved|laughed at|emphasi[sz]ed|questioned|removed an? [\w ]+ from|reacted [^“\"«]{1,12} to"
    r"|[^\w\s]{1,6} to)|(disliked))\s*[“\"«][^”\"»]*[”\"»]\s*",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[“\"«]([^“”\"«»]*)[”\"»]")
_SENTENCE = re.compile(r"[.!?,;:\n\r…—–|/()]+|\s-+\s")
SHORT_QUOTE = 3  # words: `"stop"` is said, a whole sentence in quotation marks is repeated


def verdict(body: str, carrier_says: str = "") -> Verdict:
    """What the reply asks for. Case, accents, punctuation, emoji, digits and invisible characters do not count.

    `carrier_says` is the carrier's own reading (Twilio's OptOutType): its STOP counts, for it now blocks the person.
    """
    if carrier_says.upper() == "STOP":
        return Verdict.STOP
    if len(body) > LONGEST_READ:
        body = f"{body[: LONGEST_READ // 2]}\n{body[-LONGEST_READ // 2 :]}"
    if reaction := _REACTION.fullmatch(body):
        return Verdict.HOLD if reaction[2] else Verdict.OTHER
    said = _without_quotes(body)
    found = _whole(said) or _phrased(said)
    if found is None and said != body and (_whole(body) or _phrased(body)):
        return Verdict.HOLD  # whose words are those in quotation marks?
    return found or Verdict.OTHER


def settles(body: str) -> bool:
    """Whether a START says beyond doubt that this person wants texts: "yes" may answer a question somebody asked."""
    return "".join(tokens(body)) not in ANSWERS


def _whole(said: str) -> Verdict | None:
    """The reply is one word of ours, or is made of such words, polite ones beside them; or it is a sign."""
    words = tokens(said)
    if not words:
        return _sign(said)
    found = WHOLE.get("".join(words))
    if found is not None:
        return found
    for asked, known in ((Verdict.STOP, STOP), (Verdict.HELP, HELP)):
        if _made_of(words, known):
            return asked
    sentences = [tokens(sentence) for sentence in _SENTENCE.split(said)]
    if any(_made_of(sentence, FIRM) or "".join(sentence) in FIRM for sentence in sentences):
        return Verdict.STOP
    return None


def _made_of(words: list[str], known: frozenset[str]) -> bool:
    rest = [word for word in words if word not in POLITE]
    return bool(rest) and ("".join(rest) in known or all(word in known for word in rest))


def _sign(said: str) -> Verdict | None:
    if _has(said, SIGNS["stop"]):
        return Verdict.STOP
    return Verdict.HOLD if _has(said, SIGNS["hold"] | SIGNS["hostile"]) else None


def _phrased(said: str) -> Verdict | None:
    """What is said somewhere in it, once what only sounds like it is cut out."""
    text = f" {' '.join(tokens(said))} "
    clear = UNCLEAR.sub(" ", text)
    rest = TRAP.sub(" ", clear)
    if STOP_PHRASE.search(rest):
        return Verdict.STOP
    if clear != text or HOLD_PHRASE.search(rest) or _has(said, SIGNS["hostile"]):
        return Verdict.HOLD
    return None


def _has(said: str, signs: Iterable[str]) -> bool:
    return any(sign in said for sign in signs)


def _without_quotes(body: str) -> str:
    """What is said beside long quotations; all of it if there is nothing beside them."""
    rest = _QUOTED.sub(lambda quote: quote[0] if len(quote[1].split()) <= SHORT_QUOTE else " ", body)
    return rest if tokens(rest) else body
