"""What carriers bring, by whichever way: receipts, and what people answered. In effect, committed, on return."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from kernel.database import Pool
from kernel.vault import Vault

from dispatcher import keywords, store_notices, store_replies
from dispatcher.app_batcher import Batcher
from dispatcher.app_outcomes import Callback, Outcomes
from dispatcher.keywords import Verdict
from dispatcher.notice import Way
from dispatcher.provider import TWILIO, Inbound
from dispatcher.receipt import Receipt
from dispatcher.settings import Settings
from dispatcher.store_attempts import Key
from dispatcher.store_replies import Reply
from dispatcher.unanswered import Unanswered, name_of

SENDER_PATIENCE_S, SENDER_POLL_S = 2.0, 0.1
INBOUND_LINGER_S, INBOUND_PATIENCE_S = 0.005, 8.0
ANSWERED = frozenset({Verdict.STOP, Verdict.START, Verdict.HELP})


class Inbox:
    """The one way in, for webhooks and for sessions that a carrier keeps open."""

    def __init__(self, pool: Pool, vault: Vault, outcomes: Outcomes, settings: Settings, relay: asyncio.Event) -> None:
        self._pool, self._outcomes, self._relay = pool, outcomes, relay
        self._answers = settings.answers
        self._sealer = store_replies.Sealer(vault, settings.person_id_secret)
        self._unanswered = Unanswered()
        self._replies = Batcher[Reply]("replies", self._receive, INBOUND_LINGER_S, INBOUND_PATIENCE_S)

    async def receipt(
        self, provider: str, carrier_message_id: str, raw: bytes, receipt: Receipt | None, key: Key | None = None
    ) -> None:
        """A receipt as it came; `key` is the attempt it names under our own signature, if it does. `raw` is UTF-8."""
        await self._outcomes.receive(Callback(datetime.now(UTC), provider, carrier_message_id, key, raw, receipt))

    async def reply(self, provider: str, inbound: Inbound) -> Reply:
        """What a person answered: stored, and a STOP in force, on return."""
        came_at, (body, verdict) = datetime.now(UTC), _read(inbound)
        at = self._said_at(provider, inbound, came_at) if verdict == Verdict.START else came_at
        reply = Reply(
            inbound.carrier_message_id, inbound.number, inbound.sender, body, verdict, at, _way(provider, inbound),
            provider,
        )  # fmt: skip
        try:
            await self._until_known(reply.sender)
            await self._replies.put(reply)
        except BaseException:
            self.comes_again(provider, inbound, came_at)
            raise
        return reply

    def comes_again(self, provider: str, inbound: Inbound, came_at: datetime) -> None:
        """The carrier brings it once more, for it was not taken, or not answered. A START is no younger then."""
        if _read(inbound)[1] == Verdict.START:
            self._unanswered.note(name_of(provider, inbound), came_at)

    def _said_at(self, provider: str, inbound: Inbound, came_at: datetime) -> datetime:
        """When the person said it, as far as that is known: it lifts no STOP that came after."""
        return min(inbound.sent_at or came_at, self._unanswered.since(name_of(provider, inbound), came_at))

    async def answer_to(self, reply: Reply) -> str:
        """What the reply was answered with when it came first, in a webhook's answer: a repeat says neither more nor
        less."""
        if reply.way != Way.WEBHOOK or reply.verdict not in ANSWERED:
            return ""
        kind = await store_notices.answer_of(self._pool, reply.carrier_message_id, reply.received_at)
        return self._answers.of(kind) if kind else ""

    async def _until_known(self, sender: str) -> None:
        """A person can answer before the campaign's first event has reached us; after a while the reply is parked."""
        deadline = asyncio.get_running_loop().time() + SENDER_PATIENCE_S
        while await store_replies.owner_of(self._pool, sender) is None:
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(SENDER_POLL_S)

    async def _receive(self, replies: Sequence[Reply]) -> None:
        if await store_replies.receive(self._pool, self._sealer, replies):
            self._relay.set()


def _read(inbound: Inbound) -> tuple[str, Verdict]:
    """The body as it is stored, and what it asks for."""
    body = inbound.body.replace("\0", "")  # Postgres keeps no NUL
    return body, keywords.verdict(body, inbound.opt_out_type)


def _way(provider: str, inbound: Inbound) -> Way:
    """Who reads STOP for us answers it, too; Twilio sends what its webhook is answered with, the others need a text."""
    if inbound.opt_out_type:
        return Way.NONE
    return Way.WEBHOOK if provider == TWILIO else Way.TEXT
