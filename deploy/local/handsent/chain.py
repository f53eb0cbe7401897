"""Whether the events of one recipient are a proof: what each must say if the others are true."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from kernel import opening
from kernel.seal import Key, is_sealed, key_id_of

from schemas import events as e
from schemas.events import Event
from schemas.identity import event_id, person_id, recipient_id

Kind = TypeVar("Kind")
PATIENCE = timedelta(minutes=1)


class Check(NamedTuple):
    """Something that must be so, and whether it is; None when it cannot be told any more (the person was erased)."""

    says: str
    holds: bool | None


@dataclass(frozen=True)
class Proof:
    """Who pressed what, and what the log says to it. `number` and `text` are None once the person is erased."""

    processed: e.RecipientProcessed
    number: str | None
    text: str | None
    checks: tuple[Check, ...]

    @property
    def text_sha256(self) -> str | None:
        return None if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def holds(self) -> bool:
        return all(check.holds is not False for check in self.checks)


class NotProcessed(ValueError):
    """Nobody has pressed SEND on this recipient."""


def proof(
    asked_id: str,
    events: Sequence[Event],
    keys: Mapping[str, Key],
    person_id_secret: str,
    now: datetime,
    token_owner: str | None,
    erased: bool,
) -> Proof:
    """The proof that `events` make: all that the log has of the recipient `asked_id` and its campaign, as of `now`.

    `token_owner` is whose the press's token is, None if that is not known any more; `erased`, whether the key that
    sealed the press's number was destroyed. Raises NotProcessed, Tampered.
    """
    presses = list(_all(events, e.RecipientProcessed))
    if not presses:
        raise NotProcessed
    processed = presses[0]
    said = opening.opened(processed, keys)
    checks = [Check("SEND was pressed once", len(set(presses)) == 1), _told_in_one_way(events)]
    owned = None if token_owner is None else token_owner == processed.processed_by
    checks.append(Check("the token it was pressed with is the user's", owned))
    checks.append(Check("every event is of this recipient and its campaign", _is_theirs(asked_id, processed, events)))
    checks.append(_of_key(processed, said["number"], erased))
    checks += _of_person(processed, said["number"], said["text"], keys, person_id_secret)
    checks += _of_campaign(events, processed)
    checks += _of_list(events, processed)
    checks += _of_release(events, processed)
    checks += _of_going_on(events, processed, now)
    checks += _of_attempts(events)
    return Proof(processed, said["number"], said["text"], tuple(checks))


def _told_in_one_way(events: Sequence[Event]) -> Check:
    """An event may lie in the log twice, and then says the same."""
    told: dict[str, set[str]] = {}
    for event in events:
        told.setdefault(event.event_id, set()).add(repr(event))
    return Check("no event is told in two ways", all(len(ways) == 1 for ways in told.values()))


def _is_theirs(asked_id: str, processed: e.RecipientProcessed, events: Sequence[Event]) -> bool:
    """A record's key says nothing: what counts is whom the event names."""
    ids = {"recipient_id": asked_id} | {
        name: getattr(processed, name) for name in ("account_id", "campaign_id", "person_id")
    }
    return all(getattr(event, name, own) == own for event in events for name, own in ids.items())


def _of_key(processed: e.RecipientProcessed, number: str | None, erased: bool) -> Check:
    """What does not open although nobody was erased was sealed with a key that is nobody's."""
    one = not is_sealed(processed.text) or key_id_of(processed.text) == key_id_of(processed.number)
    holds = None if number is None and erased and one else number is not None and one
    return Check("number and text were sealed with the person's key", holds)


def _of_going_on(events: Sequence[Event], processed: e.RecipientProcessed, now: datetime) -> Iterator[Check]:
    """What was pressed comes to something; while it may still wait, nothing can be told."""
    decided = any(isinstance(event, e.MessageReleased | e.MessageDropped) for event in events)
    waits = processed.due_at + PATIENCE > now
    both = all(any(isinstance(x, kind) for x in events) for kind in (e.MessageReleased, e.MessageDropped))
    due = max(processed.scheduled_for or processed.processed_at, processed.processed_at)
    yield Check("it was due at the campaign's time, or at once after it", processed.due_at == due)
    yield Check("it was not both released and dropped", not both)
    yield Check("what was pressed was released or dropped", True if decided else None if waits else False)
    if any(isinstance(event, e.MessageReleased) for event in events):
        gone = any(isinstance(event, e.SendAttempted | e.MessageSuppressed) for event in events)
        yield Check("what was released was sent or suppressed", True if gone else None)


def _of_person(
    processed: e.RecipientProcessed, number: str | None, text: str | None, keys: Mapping[str, Key], secret: str
) -> Iterator[Check]:
    rid, key = processed.recipient_id, keys.get(processed.person_id)
    yield Check(
        "the press has the id of this recipient's press", processed.event_id == event_id(rid, "RecipientProcessed")
    )
    yield Check(
        "the recipient is this number in this campaign",
        None if number is None else recipient_id(processed.campaign_id, number) == rid,
    )
    yield Check(
        "the person is this number in this account",
        None if number is None else person_id(secret, processed.account_id, number) == processed.person_id,
    )
    yield _of_text(processed, number, text, key)


def _of_text(processed: e.RecipientProcessed, number: str | None, text: str | None, key: Key | None) -> Check:
    if not is_sealed(processed.number) and not is_sealed(processed.text) and processed.text_hash is None:
        return Check("the text is as it was pressed (version 0.1.0 kept no hash of it)", None)
    says = "the text is the one that was on the button, by its hash"
    if processed.text_hash is None:  # nothing was on the button, then: the person had been erased
        return Check(says, not processed.text and number is None)
    if not is_sealed(processed.text):
        return Check(says, False)
    if text is None or key is None:
        return Check(says, None if number is None else False)
    return Check(says, key.commitment(processed.recipient_id, text) == processed.text_hash)


def _of_campaign(events: Sequence[Event], processed: e.RecipientProcessed) -> Iterator[Check]:
    created = list(_all(events, e.CampaignCreated))
    yield Check(
        "the campaign was created before the press", _one(c.occurred_at <= processed.occurred_at for c in created)
    )
    yield Check("it was sent from a number of the campaign's, at its time", _one(
        processed.sender in (c.senders or (c.sender,))
        and (c.scheduled_for, c.useful_until) == (processed.scheduled_for, processed.useful_until) for c in created
    ))  # fmt: skip
    for ended in _all(events, e.CampaignEnded):
        yield Check("the press was before the campaign's end", processed.processed_at < ended.ended_at)


def _of_list(events: Sequence[Event], processed: e.RecipientProcessed) -> Iterator[Check]:
    added = list(_all(events, e.RecipientAdded))
    yield Check("the number is the list's, byte by byte", _one(_who(a) == _who(processed) for a in added))


def _of_release(events: Sequence[Event], processed: e.RecipientProcessed) -> Iterator[Check]:
    for released in _all(events, e.MessageReleased):
        yield Check("the release follows from the press", released.caused_by == processed.event_id)
        yield Check(
            "what was released is what was pressed, byte by byte",
            (_who(released), _what(released)) == (_who(processed), _what(processed)),
        )
    for dropped in _all(events, e.MessageDropped):
        ends = {ended.event_id for ended in _all(events, e.CampaignEnded)}
        yield Check("it was dropped because the campaign had ended", dropped.caused_by in ends)


def _of_attempts(events: Sequence[Event]) -> Iterator[Check]:
    releases = {released.event_id for released in _all(events, e.MessageReleased)}
    attempts = {attempt.event_id: attempt for attempt in _all(events, e.SendAttempted)}
    for suppressed in _all(events, e.MessageSuppressed):
        yield Check("it was suppressed after its release", suppressed.caused_by in releases)
        if suppressed.useful_until is not None:
            yield Check("it was too late for it", suppressed.occurred_at > suppressed.useful_until)
    for released in _all(events, e.MessageReleased):
        until = released.useful_until
        if until is not None:
            yield Check("no attempt was too late", all(a.occurred_at <= until for a in attempts.values()))
    if attempts:
        yield Check("every attempt follows from the release", all(a.caused_by in releases for a in attempts.values()))
        outcomes = [event for event in events if isinstance(event, OF_ATTEMPT)]
        yield Check("every outcome and receipt is of an attempt", all(o.caused_by in attempts for o in outcomes))
        refused = {o.attempt for o in _all(events, e.SendNotAccepted)}
        taken = {o.attempt for o in _all(events, e.MessageAccepted)}
        open_ = {attempt.attempt for attempt in attempts.values()} - (refused - taken)
        yield Check("at most one attempt may have reached the person", len(open_) <= 1)


OF_ATTEMPT = (
    e.SendNotAccepted,
    e.MessageAccepted,
    e.MessageRejected,
    e.MessageUnresolved,
    e.MessageDelivered,
    e.MessageNotDelivered,
    e.MessageUnconfirmed,
)


def _who(event: e.RecipientAdded | e.RecipientProcessed | e.MessageReleased) -> tuple[str, str, str, str, str]:
    return event.account_id, event.campaign_id, event.recipient_id, event.person_id, event.number


def _what(event: e.RecipientProcessed | e.MessageReleased) -> tuple[object, ...]:
    return event.text, event.sender, event.due_at, event.scheduled_for, event.useful_until


def _all(events: Iterable[Event], kind: type[Kind]) -> Iterator[Kind]:
    return (event for event in events if isinstance(event, kind))


def _one(answers: Iterable[bool]) -> bool:
    """There is something to ask, and it is so each time."""
    found = list(answers)
    return bool(found) and all(found)
