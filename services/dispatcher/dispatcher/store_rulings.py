"""Postgres: what managers decide about persons whose messages wait."""

from dataclasses import dataclass
from datetime import datetime

from kernel.database import Pool, acting_for
from kernel.outbox import Outbox
from kernel.seal import EVIDENCE
from kernel.vault import Vault

from dispatcher import store_holds
from dispatcher.store import q as queries
from dispatcher.store_holds import Decision, q
from dispatcher.store_opt_outs import Word, change_opt_outs
from schemas.reasons import OptOutSource


@dataclass(frozen=True, slots=True)
class Ruling:
    """A manager decides about a person who is held, in answer to `reply`."""

    account_id: str
    person_id: str
    reply: str
    decision: Decision
    reason: str
    decided_by: str
    at: datetime


async def rule(pool: Pool, vault: Vault, ruling: Ruling) -> bool:
    """Ends the hold as the manager says, committed on return: the messages go, or the person is opted out.

    False when the person is not held, or not any more for that reply: another may have come, which nobody has read.
    """
    keys = await vault.keys_for({ruling.person_id: ruling.account_id})
    reason = keys[ruling.person_id].seal(EVIDENCE, ruling.reason)
    outbox = Outbox()
    async with acting_for(pool, ruling.account_id) as connection, connection.transaction():
        if ruling.decision == Decision.OPTED_OUT:
            await connection.fetch(queries.lock_for_opt_outs)
        found = await connection.fetchrow(q.find_hold, ruling.person_id, ruling.account_id)
        held_at = await connection.fetchval(q.end_hold, ruling.person_id, ruling.account_id, ruling.reply)
        if found is None or held_at is None:
            return False
        if ruling.decision == Decision.OPTED_OUT:
            await change_opt_outs(connection, [_word(ruling, found["number"], reason)], outbox)
        hold = {"person_id": ruling.person_id, "account_id": ruling.account_id, "reply": ruling.reply}
        decisions = {ruling.person_id: ruling.decision}
        await store_holds.decided(
            connection, [{**hold, "held_at": held_at}], decisions, reason, ruling.decided_by, ruling.at
        )
        await outbox.write(connection)
    return True


def _word(ruling: Ruling, number: str, evidence: str) -> Word:
    return Word(
        opted_out=True,
        account_id=ruling.account_id,
        person_id=ruling.person_id,
        number=number,
        source=OptOutSource.MANUAL,  # a manager's word: no START takes it back
        evidence=evidence,
        actor=ruling.decided_by,
        caused_by=None,
        at=ruling.at,
        reply=ruling.reply,
    )
