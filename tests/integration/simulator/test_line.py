import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from simulator.line import Line

HEADERS = "X-Test: 1\r\n"


@asynccontextmanager
async def answering(answer: bytes, seen: list[bytes], *, close: bool = False) -> AsyncIterator[str]:
    """A webhook that gives this answer to every request; `seen` gets what each connection read."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = len(seen)
        seen.append(b"")
        while data := await reader.read(65536):
            seen[connection] += data
            writer.write(answer)
            if close:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n",
    ],
)
async def test_requests_share_a_connection_and_ask_for_the_exact_url(answer: bytes) -> None:
    line, seen = Line(), list[bytes]()
    async with answering(answer, seen) as url:
        for _ in range(3):
            assert await line.post(f"{url}/a?b=%2f&c=1?#x", HEADERS, b"A=1", 5) == int(answer[9:12])
        line.close()
    assert len(seen) == 1
    assert seen[0].count(b"POST /a?b=%2f&c=1? HTTP/1.1\r\n") == 3
    assert seen[0].endswith(b"X-Test: 1\r\n\r\nA=1")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nas long as it lasts",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
)
async def test_a_webhook_that_closes_gets_a_new_connection(answer: bytes) -> None:
    line, seen = Line(), list[bytes]()
    async with answering(answer, seen, close=True) as url:
        for _ in range(2):
            assert await line.post(url, HEADERS, b"", 5) == 200
        line.close()
    assert len(seen) == 2


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n"])
async def test_no_answer_is_an_oserror(answer: bytes) -> None:
    async with answering(answer, [], close=True) as url:
        with pytest.raises(OSError):
            await Line().post(url, HEADERS, b"", 5)


async def test_silence_is_a_timeout_and_a_closed_port_an_oserror() -> None:
    async with answering(b"", []) as url:
        with pytest.raises(TimeoutError):
            await Line().post(url, HEADERS, b"", 0.05)
    with pytest.raises(OSError):
        await Line().post(url, HEADERS, b"", 5)


@pytest.mark.parametrize("url", ["http://", "http://host:99999/", "http://[::1/"])
async def test_what_is_no_address_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError):
        await Line().post(url, HEADERS, b"", 5)
