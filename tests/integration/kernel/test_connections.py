"""Slow, silent and greedy connections, on real sockets: they are ended, and nobody else waits for them."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
from kernel import runner
from kernel.connection import Limits
from kernel.web import read_body
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

QUICK = Limits(head_s=0.5, stall_s=0.5, head_bytes=8 * 1024, connections=600)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD_OF_UPLOAD = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
SOON_S = 5.0
LARGE = 32 * 1024 * 1024


class Service:
    """Answers with the size of what it was sent; `/large` streams more than any buffer holds."""

    def __init__(self) -> None:
        self.port = 0
        self.cut = 0
        self.ended: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            size = len(await read_body(request, 10_000_000))
        except ClientDisconnect:
            self.cut += 1
            return
        try:
            await self._answer(scope["path"], size)(scope, receive, send)
        finally:
            self.ended.append(scope["path"])

    def _answer(self, path: str, size: int) -> Response:
        if path == "/large":
            return StreamingResponse(_pieces())
        return Response(str(size))


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(LARGE // 65536):
        yield bytes(65536)


@asynccontextmanager
async def served(limits: Limits = QUICK) -> AsyncIterator[Service]:
    service = Service()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        service.port = probe.getsockname()[1]
    serving = asyncio.create_task(runner.serve(service, "127.0.0.1", service.port, limits))
    while not _answers(service.port):
        await asyncio.sleep(0.02)
    try:
        yield service
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with served() as service:
        yield service


class Client:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, service: Service, first: bytes = b"") -> "Client":
        client = cls(*await asyncio.open_connection("127.0.0.1", service.port))
        client.writer.write(first)
        return client

    async def trickles(self, every_s: float = 0.05) -> None:
        """A byte now and then, until it is cut off."""
        with suppress(ConnectionError):
            while True:
                self.writer.write(b"x")
                await self.writer.drain()
                await asyncio.sleep(every_s)

    async def rest(self) -> bytes:
        """All it is told until it is closed."""
        async with asyncio.timeout(SOON_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """The next answer on a connection that stays open."""
        async with asyncio.timeout(SOON_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
            return int(head.split()[1]), headers, await self.reader.readexactly(int(headers[b"content-length"]))


def refusal(told: bytes) -> tuple[int, str]:
    """Status and code of a refusal, which is a problem with the usual headers."""
    head, _, body = told.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head and b"nosniff" in head and b"connection: close" in head, told
    problem: dict[str, Any] = orjson.loads(body)
    assert int(head.split()[1]) == problem["status"]
    return problem["status"], problem["code"]


@pytest.mark.parametrize("first", [b"GET /", GET[:-2], GET[:-2] + b"X-A: "], ids=["target", "headers", "header"])
async def test_a_head_that_trickles_is_cut_off(service: Service, first: bytes) -> None:
    client = await Client.of(service, first)
    trickling = asyncio.create_task(client.trickles())
    assert refusal(await client.rest()) == (408, "too_slow")
    await trickling


async def test_a_head_that_trickles_on_a_connection_kept_alive_is_cut_off(service: Service) -> None:
    client = await Client.of(service, GET)
    assert (await client.answer())[0] == 200
    client.writer.write(b"\r\n")
    trickling = asyncio.create_task(client.trickles())
    assert refusal(await client.rest())[0] in (400, 408)
    await trickling


async def test_a_connection_that_says_nothing_is_closed_without_a_word(service: Service) -> None:
    assert await (await Client.of(service)).rest() == b""


async def test_an_upload_that_stalls_or_trickles_is_cut_off_and_the_endpoint_hears_of_it(service: Service) -> None:
    stalled = await Client.of(service, HEAD_OF_UPLOAD + b"x" * 5000)
    trickled = await Client.of(service, HEAD_OF_UPLOAD)
    trickling = asyncio.create_task(trickled.trickles())
    for client in (stalled, trickled):
        assert refusal(await client.rest()) == (408, "too_slow")
    await trickling
    assert service.cut == 2


async def test_an_upload_that_goes_on_may_take_longer_than_any_limit(service: Service) -> None:
    client = await Client.of(service, HEAD_OF_UPLOAD)
    for _ in range(10):
        client.writer.write(b"x" * 100_000)
        await asyncio.sleep(0.2)
    status, _, body = await client.answer()
    assert (status, body) == (200, b"1000000")


async def test_an_answer_that_nobody_takes_is_dropped_and_one_that_is_taken_slowly_is_not(service: Service) -> None:
    asked = GET.replace(b"/ ", b"/large ")
    silent, slow = await Client.of(service, asked), await Client.of(service, asked)
    taken, deadline = 0, time.monotonic() + 3.0
    while time.monotonic() < deadline:
        taken += len(await slow.reader.read(256 * 1024))
        await asyncio.sleep(0.05)
    assert service.ended == ["/large"], f"the one that nobody takes, not the one of which {taken} bytes are taken"
    async with asyncio.timeout(SOON_S):
        while taken < LARGE:
            piece = await slow.reader.read(1024 * 1024)
            assert piece, f"cut off after {taken} bytes"
            taken += len(piece)
    silent.writer.close()


@pytest.mark.parametrize("piece", [100_000, 1000], ids=["at once", "bit by bit"])
async def test_headers_without_end_are_431(service: Service, piece: int) -> None:
    head = GET[:-2] + b"".join(b"X-%d: %b\r\n" % (n, b"x" * 90) for n in range(90)) + b"\r\n"
    assert len(head) > QUICK.head_bytes
    client = await Client.of(service)
    for at in range(0, len(head), piece):
        client.writer.write(head[at : at + piece])
        await asyncio.sleep(0.01)
    assert refusal(await client.rest()) == (431, "head_too_large")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",  # TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        GET[:-2] + b"A\x00B: c\r\n\r\n",
        HEAD_OF_UPLOAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",  # two lengths: who is right?
        HEAD_OF_UPLOAD[:-2] + b"Content-Length: 5\r\n\r\n",
        HEAD_OF_UPLOAD.replace(b"1000000", b"-5"),
        HEAD_OF_UPLOAD.replace(b"1000000", b"5, 6"),
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=str,
)
async def test_what_is_not_http_is_400_and_the_end(service: Service, sent: bytes) -> None:
    client = await Client.of(service, sent)
    assert refusal(await client.rest()) == (400, "malformed_request")


async def test_more_connections_than_are_served_are_503(service: Service) -> None:
    async with served(Limits(connections=3)) as small:
        first = [await Client.of(small, GET) for _ in range(2)]
        for client in first:
            assert (await client.answer())[0] == 200
        held = [await Client.of(small) for _ in range(2)]
        told = [await asyncio.wait_for(client.reader.read(), 1.0) for client in held[1:]]
        assert refusal(told[0]) == (503, "too_many_connections")
        for client in first:  # whoever was there goes on
            client.writer.write(GET)
            assert (await client.answer())[0] == 200


async def test_500_idle_connections_hold_nobody_up(service: Service) -> None:
    idle = [await Client.of(service, GET[: n % 20]) for n in range(500)]
    client = await Client.of(service)
    for _ in range(20):
        client.writer.write(GET)
        began = time.monotonic()
        assert (await client.answer())[0] == 200
        assert time.monotonic() - began < 0.5
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(*(one.reader.read() for one in idle))


async def test_half_a_request_does_not_hold_up_the_end(service: Service) -> None:
    async with served(Limits()) as patient:
        halves = [await Client.of(patient, half) for half in (b"", b"GE", GET[:-2], HEAD_OF_UPLOAD + b"x")]
        kept = await Client.of(patient, GET)
        await kept.answer()
        kept.writer.write(GET[:-2])
        await asyncio.sleep(0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 5.0
    for client in halves:
        await client.rest()


async def test_every_answer_has_the_headers_that_browsers_obey(service: Service) -> None:
    client = await Client.of(service, GET + GET.replace(b"Host", b"X-Forwarded-Proto: https\r\nHost"))
    for secure in (False, True):
        _, headers, _ = await client.answer()
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"content-security-policy"] == b"default-src 'none'; frame-ancestors 'none'"
        assert headers[b"cache-control"] == b"no-store"
        assert headers[b"referrer-policy"] == b"no-referrer"
        assert headers[b"cross-origin-opener-policy"] == headers[b"cross-origin-resource-policy"] == b"same-origin"
        assert (b"strict-transport-security" in headers) == secure
        assert b"server" not in headers


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"Content-Encoding: gzip", "encoding_not_supported"),
        (b"content-encoding: BR", "encoding_not_supported"),
        (b"Content-Encoding: deflate", "encoding_not_supported"),
        (b"Content-Encoding: zstd", "encoding_not_supported"),
        (b"Content-Encoding: identity, gzip", "encoding_not_supported"),
        (b"Content-Type: Multipart/form-data; boundary=x", "multipart_not_supported"),
    ],
)
async def test_bodies_that_would_have_to_be_unpacked_are_415(service: Service, header: bytes, code: str) -> None:
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n" + header + b"\r\n\r\nxx"
    status, _, body = await (await Client.of(service, sent)).answer()
    assert (status, orjson.loads(body)["code"]) == (415, code)
    assert service.ended == []


async def test_a_query_with_a_nul_is_400_and_one_without_end_is_414(service: Service) -> None:
    for target, status in ((b"/?a=%00", 400), (b"/?a=" + b"x" * 8200, 414 if QUICK.head_bytes > 8300 else 431)):
        client = await Client.of(service, GET.replace(b"/ ", target + b" ", 1))
        told = (await client.answer())[0]
        assert told == status, target[:20]
