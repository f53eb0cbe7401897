"""The chain from the click to the carrier: it holds as it happened, and fails wherever one link is changed."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from handsent.chain import NotProcessed, Proof, proof
from kernel.seal import Key, Tampered

from schemas.events import Event, MessageReleased
from schemas.identity import event_id, person_id, uuid5
from tests.unit.projections.life import NOON, Life, key_of_person

SECRET = "a person id secret"


class Ada(Life):
    """Whose ids are what send-intake makes of them, and whose events name their causes."""

    @property
    def person_id(self) -> str:
        return person_id(SECRET, self.account_id, self.number)

    def story(self) -> list[Event]:
        added, processed = self.added(), self.processed()
        press = replace(
            processed,
            number=added.number,
            text_hash=self.key.commitment(self.recipient_id, "Hello Ada"),
            token_id=uuid5(self.account_id, "token"),
            client="a browser",
        )
        released = replace(
            self.released(), number=press.number, text=press.text, caused_by=press.event_id, due_at=press.due_at
        )
        attempted = replace(self.attempted(), caused_by=released.event_id)
        outcomes = [replace(event, caused_by=attempted.event_id) for event in (self.accepted(), self.delivered())]
        return [self.created(), added, press, released, attempted, *outcomes]


ADA = Ada(sealed=True)
KEYS = {ADA.person_id: key_of_person(ADA.person_id)}
STORY = ADA.story()


FOREIGN = key_of_person(uuid5(ADA.account_id, "nobody"))


def resealed(text: str, key: Key, text_hash: str | None) -> list[Event]:
    """The story with another text in the press and in the release."""
    sealed = key.seal(f"text {ADA.recipient_id}", text)
    return [
        replace(event, text=sealed, **({"text_hash": text_hash} if at == 2 else {})) if at in (2, 3) else event
        for at, event in enumerate(STORY)
    ]  # type: ignore[call-arg]


def told(events: list[Event], keys: dict[str, Key] | None = None, token_owner: str | None = "sam",
         erased: bool = False) -> Proof:  # fmt: skip
    now = NOON + timedelta(hours=1)
    return proof(ADA.recipient_id, events, KEYS if keys is None else keys, SECRET, now, token_owner, erased)


def changed(name: str, **fields: Any) -> list[Event]:
    return [replace(event, **fields) if type(event).__name__ == name else event for event in STORY]


def broken(events: list[Event], keys: dict[str, Key] | None = None) -> list[str]:
    return [check.says for check in told(events, KEYS if keys is None else keys).checks if not check.holds]


def test_the_chain_holds_and_says_who_when_and_what() -> None:
    found = told(STORY)
    assert found.holds and all(check.holds for check in found.checks) and len(found.checks) >= 10
    assert (found.number, found.text, found.processed.processed_by) == (ADA.number, "Hello Ada", "sam")
    assert found.text_sha256 == hashlib.sha256(b"Hello Ada").hexdigest()


def useful(until: timedelta, *more: Event) -> list[Event]:
    """The story of a campaign with several numbers and a latest useful time; Ada got the second number."""
    at, senders = STORY[2].occurred_at + until, ("+12025550999", "+12025550100")
    fields = {
        "CampaignCreated": {"sender": senders[0], "senders": senders, "useful_until": at},
        "RecipientProcessed": {"useful_until": at}, "MessageReleased": {"useful_until": at},
    }  # fmt: skip
    return [*(replace(event, **fields.get(type(event).__name__, {})) for event in STORY), *more]


def test_a_number_of_several_and_a_latest_useful_time_are_part_of_the_chain() -> None:
    assert broken(useful(timedelta(hours=1))) == []
    assert broken(useful(timedelta(seconds=-1))) == ["no attempt was too late"]
    assert broken([replace(e, useful_until=NOON) if isinstance(e, MessageReleased) else e for e in STORY])


@pytest.mark.parametrize("late", [True, False])
def test_what_was_suppressed_as_too_late_was(late: bool) -> None:
    life, micro = Ada(sealed=True), timedelta(microseconds=1)
    story = [life.created(), life.added(), life.processed(), life.released(), life.suppressed()]
    at = story[-1].occurred_at - (micro if late else 0 * micro)
    story = [replace(e, useful_until=at) if hasattr(e, "useful_until") else e for e in story]
    found = proof(life.recipient_id, story, KEYS, SECRET, NOON + timedelta(hours=1), "sam", False)
    assert [check.holds for check in found.checks if "too late for" in check.says] == [late]


@pytest.mark.parametrize(
    "tampered",
    [
        lambda: changed("RecipientProcessed", text_hash="00" * 32),
        lambda: changed("RecipientProcessed", event_id=event_id(ADA.recipient_id, "Another")),
        lambda: changed("RecipientProcessed", number=ADA.key.seal("number", ADA.number)),
        lambda: changed("RecipientProcessed", sender="+12025550999"),
        lambda: changed("MessageReleased", text=ADA.key.seal(f"text {ADA.recipient_id}", "Goodbye")),
        lambda: changed("MessageReleased", caused_by=event_id(ADA.recipient_id, "Another")),
        lambda: changed("MessageReleased", due_at=NOON.replace(year=2031)),
        lambda: changed("SendAttempted", caused_by=None),
        lambda: changed("MessageDelivered", caused_by=event_id(ADA.recipient_id, "Another")),
        lambda: changed("CampaignCreated", occurred_at=NOON.replace(year=2031)),
        lambda: [event for event in STORY if type(event).__name__ != "RecipientAdded"],
        lambda: [*STORY, replace(ADA.ended(), ended_at=NOON.replace(year=2001))],
        lambda: [*STORY, replace(ADA.attempted(2), caused_by=STORY[3].event_id)],
        lambda: [*STORY, replace(ADA.dropped(), caused_by=None)],
        lambda: [*STORY, replace(STORY[2], processed_by="eve")],  # type: ignore[call-arg]
        lambda: [*STORY, replace(STORY[4], provider="another")],  # type: ignore[call-arg]
        lambda: changed("RecipientProcessed", text_hash=None),
        lambda: STORY[:3],
        lambda: resealed("PAY ME", FOREIGN, FOREIGN.commitment(ADA.recipient_id, "PAY ME")),
        lambda: resealed("PAY ME", FOREIGN, None),
        lambda: resealed("PAY ME", ADA.key, None),
        lambda: changed("RecipientProcessed", text="PAY ME", text_hash=None),
        lambda: changed("RecipientProcessed", text="", text_hash=None),
        lambda: changed("RecipientProcessed", due_at=NOON.replace(year=2099)),
        lambda: changed("CampaignCreated", account_id=uuid5(ADA.account_id, "another")),
        lambda: changed("SendAttempted", recipient_id=uuid5(ADA.account_id, "another")),
        lambda: Ada(sealed=True, number="+12025550199").story(),
    ],
)
def test_a_changed_link_breaks_it(tampered: Callable[[], list[Event]]) -> None:
    assert broken(tampered())


def test_what_cannot_be_told_is_not_said_to_hold() -> None:
    old = [replace(event, number=ADA.number) if hasattr(event, "number") else event for event in STORY]
    plain = told([replace(x, text="Hello Ada", text_hash=None) if x is old[2] else x for x in old])  # type: ignore[call-arg]
    assert [check.holds for check in plain.checks if "0.1.0" in check.says] == [None]
    assert "the token it was pressed with is the user's" in {
        check.says for check in told(STORY, token_owner="eve").checks if check.holds is False
    }
    assert told(STORY, token_owner=None).holds


def test_another_persons_text_does_not_open_as_this_ones() -> None:
    stranger = Ada(sealed=True, number="+12025550199")
    with pytest.raises(Tampered):
        told(changed("RecipientProcessed", text=ADA.key.seal(f"text {stranger.recipient_id}", "Hi")))


def test_of_an_erased_person_what_can_be_told_still_holds() -> None:
    found = told(STORY, {}, erased=True)
    assert found.holds and (found.number, found.text, found.text_sha256) == (None, None, None)
    assert [check.holds for check in found.checks].count(None) == 4


def test_without_the_key_and_without_an_erasure_it_does_not_hold() -> None:
    assert not told(STORY, {}).holds


def test_without_a_press_there_is_no_proof() -> None:
    with pytest.raises(NotProcessed):
        told([ADA.created(), ADA.added()])
