"""Carriers that do what a test says, byte for byte, over HTTP or SMPP. Each writes down what it read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import orjson
from dispatcher import provider_smpp as smpp
from dispatcher.provider import SMPP, TELNYX, TWILIO


class Does(StrEnum):
    """What becomes of a request once the carrier has read it whole."""

    TAKES = "takes"
    TAKES_UNREADABLY = "takes unreadably"
    ANSWERS_HALF = "answers half"
    RESETS = "resets"
    IS_SILENT = "is silent"
    THROTTLES = "throttles"
    REFUSES = "refuses"
    REFUSES_FOR_AN_OPT_OUT = "refuses for an opt-out"
    BREAKS = "breaks"
    TIMES_OUT = "answers 408"
    CONFLICTS = "answers 409"
    IS_TOO_EARLY = "answers 425"
    REDIRECTS = "redirects"


@dataclass
class Carrier:
    """`requests` are the bodies read, `keys` their idempotency keys; `does` is what the next ones meet."""

    provider: str
    does: Does = Does.TAKES
    requests: list[bytes] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    port: int = 0


Serve = Callable[[Carrier, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def carrier_of(provider: str) -> AsyncIterator[Carrier]:
    carrier = Carrier(provider)
    serve: Serve = _smsc if provider == SMPP else _http
    open_ones: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        try:
            await serve(carrier, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    carrier.port = server.sockets[0].getsockname()[1]
    try:
        yield carrier
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()


TAKEN: dict[str, tuple[int, object]] = {
    TWILIO: (201, {"sid": "M1", "num_segments": "1"}),
    TELNYX: (200, {"data": {"id": "M1", "parts": 1}}),
}
REFUSED: dict[str, object] = {TWILIO: {"code": 21211}, TELNYX: {"errors": [{"code": "40310"}]}}
OPTED_OUT: dict[str, object] = {TWILIO: {"code": 21610}, TELNYX: {"errors": [{"code": "40300"}]}}


def _answer(carrier: Carrier) -> tuple[int, bytes]:
    status, taken = TAKEN[carrier.provider]
    found: dict[Does, tuple[int, object]] = {
        Does.TAKES: (status, taken),
        Does.THROTTLES: (429, {}),
        Does.REFUSES: (400, REFUSED[carrier.provider]),
        Does.REFUSES_FOR_AN_OPT_OUT: (400, OPTED_OUT[carrier.provider]),
        Does.BREAKS: (500, {}),
        Does.TIMES_OUT: (408, {}),
        Does.CONFLICTS: (409, {}),
        Does.IS_TOO_EARLY: (425, {}),
        Does.REDIRECTS: (307, {}),
        Does.ANSWERS_HALF: (status, taken),
    }
    if carrier.does == Does.TAKES_UNREADABLY:
        return status, b"<html>"
    status, body = found[carrier.does]
    return status, orjson.dumps(body)


async def _http(carrier: Carrier, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        carrier.requests.append(await reader.readexactly(int(fields["content-length"])))
        carrier.keys.append(fields.get("idempotency-key"))
        if carrier.does == Does.RESETS:
            return
        if carrier.does == Does.IS_SILENT:
            await asyncio.sleep(60)
        status, body = _answer(carrier)
        length = len(body) + (10 if carrier.does == Does.ANSWERS_HALF else 0)
        location = f"Location: http://127.0.0.1:{carrier.port}/elsewhere\r\n" if status == 307 else ""
        retry_after = "Retry-After: 7\r\n" if status == 429 else ""
        writer.write(f"HTTP/1.1 {status} X\r\n{location}{retry_after}Content-Length: {length}\r\n\r\n".encode() + body)
        await writer.drain()
        if carrier.does == Does.ANSWERS_HALF:
            return


STATUS = {
    Does.TAKES: 0, Does.TAKES_UNREADABLY: 0, Does.THROTTLES: 0x58, Does.REFUSES: 0x0B, Does.BREAKS: 0x08,
}  # fmt: skip


async def _smsc(carrier: Carrier, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        first = await reader.readexactly(smpp.HEADER)
        head = smpp.header(first)
        body = await reader.readexactly(head.length - smpp.HEADER)
        if head.command != smpp.SUBMIT_SM:  # a bind, an enquiry, a farewell: each is answered with its response
            writer.write(smpp.short(head.command | 0x80000000, head.sequence, 0, b"smsc\0" if body else b""))
            continue
        carrier.requests.append(body)
        carrier.keys.append(None)
        if carrier.does == Does.RESETS:
            return
        if carrier.does == Does.IS_SILENT:
            continue
        id_ = b"M1\0" if carrier.does == Does.TAKES else b"\0"
        writer.write(smpp.short(smpp.SUBMIT_SM_RESP, head.sequence, STATUS[carrier.does], id_))
