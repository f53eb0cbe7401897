"""Postgres: evidence about attempts, from whatever side it comes, moves them here and nowhere else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kernel.database import Connection
from kernel.outbox import Outbox

from dispatcher.attempt import SERVICE, Attempt, Evidence, NeverPosted, State
from dispatcher.clearance import Why
from dispatcher.outcome import NAMELESS, Accepted, NotAccepted, Rejected
from dispatcher.provider import KEYED, UNADDRESSED
from dispatcher.receipt import Delivered, NotDelivered
from dispatcher.store import of_providers, q
from dispatcher.store_opt_outs import Word, change_opt_outs
from schemas.events import MessageNotDelivered, MessageRejected
from schemas.identity import event_id
from schemas.reasons import FailureReason, OptOutSource

Key = tuple[str, int]  # recipient_id, attempt


@dataclass(frozen=True, slots=True)
class Proof:
    """Evidence about one attempt, seen `at`; `not_before` is when it may try again, should it have been refused."""

    recipient_id: str
    attempt: int
    evidence: Evidence
    at: datetime
    not_before: datetime | None = None
    actor: str = SERVICE

    @property
    def key(self) -> Key:
        return self.recipient_id, self.attempt


async def settle(connection: Connection, proofs: Sequence[Proof], outbox: Outbox) -> dict[Key, Attempt]:
    """Applies the evidence in order, in the caller's transaction; answers the attempts it was about, as they stand now.

    Weaker or repeated evidence changes nothing. A key that is missing in the answer is of no attempt of ours.
    """
    if any(tells_opt_out(proof.evidence) for proof in proofs):
        await connection.fetch(q.lock_for_opt_outs)  # before any row, as everybody takes them
    attempts = await _locked(connection, {proof.recipient_id for proof in proofs})
    shared = await _shared(connection, attempts, proofs)
    refused, opt_outs = [], []
    for proof in proofs:
        attempt = attempts.get(proof.key)
        if attempt is None or (attempt.state == State.REFUSED and not await _revived(connection, attempt, proof)):
            continue
        if proof.key in shared and _says_not_taken(proof):
            continue
        events = list(attempt.apply(proof.evidence, proof.at, proof.actor))
        outbox.extend(events)
        if events and attempt.state == State.REFUSED:
            refused.append(proof)
        if events and tells_opt_out(proof.evidence):
            opt_outs.append(attempt)
    changed = [attempt for attempt in attempts.values() if attempt.changed]
    await _write(connection, changed)
    await _note_unknowns(connection, changed)
    if refused:
        await _requeue(connection, refused)
    if opt_outs:
        await _opt_out_at_the_carrier(connection, opt_outs, proofs, outbox)
    return attempts


async def _locked(connection: Connection, recipient_ids: Iterable[str]) -> dict[Key, Attempt]:
    rows = await connection.fetch(q.lock_attempts, sorted(recipient_ids))
    return {
        (row[0], row[1]): Attempt(row[0], row[1], row[2], row[3], row[4], State(row[5]), *list(row)[6:]) for row in rows
    }


async def _shared(connection: Connection, attempts: Mapping[Key, Attempt], proofs: Sequence[Proof]) -> set[Key]:
    """The attempts that others may have POSTed too: with an idempotency key, whoever comes first asks again.

    What one process knows of its own POST, or of having made none, is then no proof that the carrier has not taken it.
    """
    keyed = [p for p in proofs if p.key in attempts and attempts[p.key].provider in KEYED and _says_not_taken(p)]
    if not keyed:
        return set()
    rows = await connection.fetch(of_providers.repeats_of, sorted({proof.recipient_id for proof in keyed}))
    put_back = {(row[0], row[1]) for row in rows}
    return put_back | {proof.key for proof in keyed if attempts[proof.key].state != State.OPEN}


def _says_not_taken(proof: Proof) -> bool:
    return isinstance(proof.evidence, NotAccepted | NeverPosted) and proof.actor == SERVICE


async def _revived(connection: Connection, attempt: Attempt, proof: Proof) -> bool:
    """An operator said it was not accepted, and now the carrier says it was: while it waits it can still be stopped."""
    if not isinstance(proof.evidence, Accepted | Delivered | NotDelivered):
        return False
    if await connection.fetchval(q.unqueue, attempt.recipient_id) is None:
        return False
    attempt.state = State.UNKNOWN
    return True


async def _write(connection: Connection, changed: list[Attempt]) -> None:
    if changed:
        await connection.execute(
            q.write_attempts,
            [a.recipient_id for a in changed],
            [a.attempt for a in changed],
            [a.state for a in changed],
            [a.carrier_message_id for a in changed],
            [a.carrier_code for a in changed],
            [a.reason for a in changed],
            [a.accepted_at for a in changed],
            [a.unresolved_at for a in changed],
        )
        await _learn_ids(connection, [a for a in changed if a.provider in UNADDRESSED and a.state == State.ACCEPTED])


async def _learn_ids(connection: Connection, accepted: list[Attempt]) -> None:
    accepted = [attempt for attempt in accepted if attempt.carrier_message_id != NAMELESS]
    if accepted:
        await connection.execute(
            of_providers.learn_carrier_ids,
            [a.provider for a in accepted],
            [a.carrier_message_id for a in accepted],
            [a.recipient_id for a in accepted],
            [a.attempt for a in accepted],
            [a.accepted_at for a in accepted],
        )


async def _note_unknowns(connection: Connection, changed: list[Attempt]) -> None:
    """Whose outcome is unknown, and whose no longer is: for that their person's later texts wait."""
    known = [a.recipient_id for a in changed if a.unresolved_at and a.state != State.UNKNOWN]
    if known:
        await connection.execute(q.outcomes_known, known)
    unknown = [a for a in changed if a.state == State.UNKNOWN]
    if unknown:
        await connection.execute(
            q.outcomes_unknown,
            [a.recipient_id for a in unknown],
            [a.unresolved_at for a in unknown],
            [a.reason or "unknown" for a in unknown],
        )


async def _requeue(connection: Connection, refused: list[Proof]) -> None:
    refused.sort(key=lambda proof: proof.recipient_id)
    await connection.execute(
        q.requeue,
        [proof.recipient_id for proof in refused],
        [proof.attempt + 1 for proof in refused],
        [proof.not_before for proof in refused],
        [Why.BACK_OFF] * len(refused),
    )


def tells_opt_out(evidence: Evidence) -> bool:
    """Whether the carrier says that the person opted out there: in its answer, or in a receipt."""
    return isinstance(evidence, Rejected | NotDelivered) and evidence.reason == FailureReason.OPTED_OUT


async def _opt_out_at_the_carrier(
    connection: Connection, attempts: list[Attempt], proofs: Sequence[Proof], outbox: Outbox
) -> None:
    rows = await connection.fetch(q.numbers_of, [attempt.recipient_id for attempt in attempts])
    numbers = {row[0]: row[1] for row in rows}
    said = {proof.key: proof for proof in proofs if tells_opt_out(proof.evidence)}
    words = [
        Word(
            opted_out=True,
            account_id=a.account_id,
            person_id=a.person_id,
            number=numbers[a.recipient_id],
            source=OptOutSource.CARRIER,
            evidence=a.carrier_code or FailureReason.OPTED_OUT,
            actor=SERVICE,
            caused_by=event_id(a.recipient_id, _fact_of(said[a.recipient_id, a.attempt]), a.attempt),
            at=said[a.recipient_id, a.attempt].at,
        )
        for a in attempts
    ]
    await change_opt_outs(connection, words, outbox)


def _fact_of(proof: Proof) -> str:
    return (MessageRejected if isinstance(proof.evidence, Rejected) else MessageNotDelivered).__name__
