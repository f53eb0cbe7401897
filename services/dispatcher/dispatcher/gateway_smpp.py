"""SMPP 3.4: one session that is bound anew when it is lost, and many submit_sm under way on it at once.

The library makes and reads PDUs; connection, window and persistence are ours, so that what has left the process is
known exactly and nothing is submitted twice.
"""

import asyncio
import time
import uuid
from datetime import UTC, datetime
from types import TracebackType

import structlog
from aiosmpplib.protocol import BindTransceiver
from kernel.errors import retriable

from dispatcher import provider_smpp as smpp
from dispatcher.app_inbox import Inbox
from dispatcher.outcome import Answer, NoAnswer, Said, Seen
from dispatcher.provider import SMPP, Leaving, Text, Unreadable, unnoted
from dispatcher.settings import Settings

log = structlog.get_logger()

ENQUIRE_S, SILENCE_S = 15.0, 45.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
GOODBYE_S = 1.0
MOST_DELIVERIES = 1000
TRY_LATER = 0x64  # ESME_RX_T_APPN: the carrier keeps it and delivers it again
UNREADABLE = "unreadable"


class Refused(ConnectionError):
    """The carrier did not let us bind."""


class SmppGateway:
    """A transceiver. While it is not bound, nothing is written."""

    def __init__(self, settings: Settings, inbox: Inbox) -> None:
        host, _, port = settings.smpp_address.rpartition(":")
        self._host, self._port = host, int(port)
        self._bind = BindTransceiver(system_id=settings.smpp_system_id, password=settings.smpp_password)
        self._connect_s, self._total_s = settings.carrier_connect_timeout_s, settings.carrier_timeout_s
        self._inbox, self._region = inbox, settings.default_region
        self._keeper: asyncio.Task[None] | None = None
        self._session: _Session | None = None
        self._bound = asyncio.Event()

    async def __aenter__(self) -> "SmppGateway":
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._keeper is not None
        if self._session is not None:
            await self._session.say_goodbye()
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)

    def request(self, text: Text) -> bytes:
        return smpp.request(text)

    async def post(self, request: bytes, key: str, leaving: Leaving = unnoted) -> Seen:
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()  # what broke it breaks us: else every text would wait for ever
        try:
            async with asyncio.timeout(self._connect_s):
                await self._bound.wait()
        except TimeoutError:
            return NoAnswer.NOTHING_WRITTEN
        if self._session is None:
            return NoAnswer.NOTHING_WRITTEN
        leaving()
        return await self._session.submit(request, self._total_s)

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                await self._one_session()
            except (OSError, TimeoutError, asyncio.IncompleteReadError, Unreadable) as error:
                log.warning("smpp_session_lost", error=type(error).__name__, status=str(error)[:60])
            pause_s = FIRST_PAUSE_S if time.monotonic() - began > LONGEST_PAUSE_S else pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _one_session(self) -> None:
        async with asyncio.timeout(self._connect_s):
            reader, writer = await asyncio.open_connection(self._host, self._port)
        session = _Session(reader, writer, self._inbox, self._region)
        try:
            async with asyncio.timeout(self._connect_s):
                await session.bind(self._bind)
            self._session = session
            self._bound.set()
            log.info("smpp_bound")
            await session.serve()
        finally:
            self._bound.clear()
            self._session = None
            await session.close()


class _Session:
    """One connection, from its bind to its end. What is unanswered at the end may have been taken."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inbox: Inbox, region: str) -> None:
        self._reader, self._writer, self._inbox, self._region = reader, writer, inbox, region
        self._sequence = 0
        self._submitted: dict[int, asyncio.Future[Seen]] = {}
        self._deliveries: set[asyncio.Task[None]] = set()
        self._heard_at = time.monotonic()
        self._leaving = False

    async def bind(self, bind: BindTransceiver) -> None:
        bind.sequence_num = self._next()
        self._writer.write(bind.pdu())
        head, _ = await self._read()
        if head.command != smpp.BIND_TRANSCEIVER_RESP or head.status:
            raise Refused(f"0x{head.status:08x}")

    async def submit(self, request: bytes, patience_s: float) -> Seen:
        """One write of these bytes, but for their sequence number."""
        if self._leaving or self._writer.transport.is_closing():
            return NoAnswer.NOTHING_WRITTEN
        sequence = self._next()
        answered: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        self._submitted[sequence] = answered
        self._writer.write(smpp.numbered(request, sequence))
        written_at = time.monotonic()
        try:
            async with asyncio.timeout(patience_s):
                return await answered
        except TimeoutError:
            if self._heard_at < written_at:  # dead: whatever else is written on it becomes an unknown too
                self._writer.transport.abort()
            return NoAnswer.TIMEOUT
        finally:
            self._submitted.pop(sequence, None)

    async def serve(self) -> None:
        """Until the connection ends; raises what ended it."""
        asking = asyncio.create_task(self._ask())
        try:
            while True:
                head, pdu = await self._read()
                self._heard_at = time.monotonic()
                self._take(head, pdu)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def close(self) -> None:
        for answered in self._submitted.values():
            if not answered.done():
                answered.set_result(NoAnswer.CONNECTION_LOST)
        self._writer.transport.abort()
        if self._deliveries:
            await asyncio.wait(self._deliveries)

    async def say_goodbye(self) -> None:
        self._leaving = True
        if not self._writer.transport.is_closing():
            self._writer.write(smpp.short(smpp.UNBIND, self._next()))
            await asyncio.sleep(0)

    async def _ask(self) -> None:
        """A line that says nothing for a while is dead, and what is under way on it unknown."""
        while True:
            await asyncio.sleep(ENQUIRE_S)
            if time.monotonic() - self._heard_at > SILENCE_S:
                self._writer.transport.abort()
                return
            self._writer.write(smpp.short(smpp.ENQUIRE_LINK, self._next()))

    async def _read(self) -> tuple[smpp.Header, bytes]:
        first = await self._reader.readexactly(smpp.HEADER)
        head = smpp.header(first)
        return head, first + await self._reader.readexactly(head.length - smpp.HEADER)

    def _take(self, head: smpp.Header, pdu: bytes) -> None:
        match head.command:
            case smpp.SUBMIT_SM_RESP:
                self._answered(head, smpp.answer(head.status, pdu[smpp.HEADER :]))
            case smpp.GENERIC_NACK:
                self._answered(head, Answer(Said.BROKEN, carrier_code=f"0x{head.status:08x}"))
            case smpp.DELIVER_SM:
                self._delivered(head, pdu)
            case smpp.ENQUIRE_LINK:
                self._writer.write(smpp.short(smpp.ENQUIRE_LINK_RESP, head.sequence))
            case smpp.UNBIND:
                self._leaving = True
                self._writer.write(smpp.short(smpp.UNBIND_RESP, head.sequence))
                raise Refused("unbound by the carrier")
            case smpp.ENQUIRE_LINK_RESP | smpp.UNBIND_RESP:
                pass
            case _:
                self._writer.write(smpp.short(smpp.GENERIC_NACK, head.sequence, 0x03))

    def _answered(self, head: smpp.Header, answer: Answer) -> None:
        answered = self._submitted.get(head.sequence)
        if answered is not None and not answered.done():
            answered.set_result(answer)

    def _delivered(self, head: smpp.Header, pdu: bytes) -> None:
        if len(self._deliveries) >= MOST_DELIVERIES:
            self._comes_again(pdu, datetime.now(UTC))
            self._writer.write(smpp.short(smpp.DELIVER_SM_RESP, head.sequence, TRY_LATER, b"\0"))
            return
        delivery = asyncio.create_task(self._store(head, pdu))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def _store(self, head: smpp.Header, pdu: bytes) -> None:
        """Answered once it is stored and in effect; what cannot be stored now is asked for again."""
        status, came_at = 0, datetime.now(UTC)
        try:
            await self._bring(pdu)
        except Exception as error:
            if not retriable(error):
                log.error("smpp_delivery_broke", exc_info=error)
            status = TRY_LATER
        if self._writer.transport.is_closing():
            self._comes_again(pdu, came_at)
        else:
            self._writer.write(smpp.short(smpp.DELIVER_SM_RESP, head.sequence, status, b"\0"))

    def _comes_again(self, pdu: bytes, came_at: datetime) -> None:
        """Without an id: what is brought again is as new, and what was a person's must be known by what it says."""
        try:
            if not smpp.is_receipt(pdu):
                self._inbox.comes_again(SMPP, smpp.inbound_of(pdu, "", self._region), came_at)
        except Unreadable:
            return  # it changes nothing, whenever it comes

    async def _bring(self, pdu: bytes) -> None:
        raw = pdu.hex().encode()
        try:
            if smpp.is_receipt(pdu):
                id_, receipt = smpp.receipt_of(raw)
                await self._inbox.receipt(SMPP, id_, raw, receipt)
            else:
                await self._inbox.reply(SMPP, smpp.inbound_of(pdu, f"smpp-{uuid.uuid4().hex}", self._region))
        except Unreadable as error:
            log.warning("smpp_delivery_unreadable", error=str(error))
            await self._inbox.receipt(SMPP, UNREADABLE, raw, None)  # kept, for somebody to look at

    def _next(self) -> int:
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        return self._sequence
