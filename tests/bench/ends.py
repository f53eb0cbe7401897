"""`python -m tests.bench.ends HTTP_PORT SMPP_PORT`: two ends that take every text and answer after 5 ms.

One answers as Twilio does, one speaks the few words of SMPP 3.4 that a sender needs. Both only count, so that they cost
a few µs a text: `GET /taken` says how many texts came, to how many people, from when until when; `DELETE /taken`
forgets.
"""

import asyncio
import json
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

import uvloop

ANSWER_S = 0.005
HEADER = struct.Struct(">IIII")  # length, command, status, sequence
RESPONSE = 0x80000000
BIND, SUBMIT, UNBIND, ENQUIRE = (1, 2, 9), 4, 6, 0x15


@dataclass
class Taken:
    """Times are of the world's clock."""

    by_person: Counter[str] = field(default_factory=Counter)
    first: float = 0.0
    last: float = 0.0

    def add(self, to: str) -> None:
        self.last = time.time()
        self.first = self.first or self.last
        self.by_person[to] += 1

    def told(self) -> dict[str, float]:
        texts, people = self.by_person.total(), len(self.by_person)
        return {"texts": texts, "people": people, "first": self.first, "last": self.last}


class Http(asyncio.Protocol):
    """Requests one after the other on a connection, as HTTP/1.1 clients without pipelining make them."""

    def __init__(self, taken: Taken) -> None:
        self._taken, self._buffer = taken, b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        self._buffer = b""
        self._asked(head, body)

    def _asked(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST"):
            to = unquote(body.partition(b"To=")[2].partition(b"&")[0].decode())
            self._taken.add(to)
            sid = json.dumps({"sid": f"SM{self._taken.by_person.total():032x}", "num_segments": "1"}).encode()
            asyncio.get_running_loop().call_later(ANSWER_S, self._answer, b"201 Created", sid)
        elif head.startswith(b"DELETE"):
            self._taken.by_person.clear()
            self._taken.first = self._taken.last = 0.0
            self._answer(b"200 OK", b"{}")
        else:
            self._answer(b"200 OK", json.dumps(self._taken.told()).encode())

    def _answer(self, status: bytes, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (status, len(body), body)
            )


class Smpp(asyncio.Protocol):
    """Takes whoever binds, and whatever they submit."""

    def __init__(self, taken: Taken) -> None:
        self._taken, self._buffer = taken, b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            length, command, _, sequence = HEADER.unpack_from(self._buffer)
            if len(self._buffer) < length:
                return
            unit, self._buffer = self._buffer[HEADER.size : length], self._buffer[length:]
            self._asked(command, sequence, unit)

    def _asked(self, command: int, sequence: int, unit: bytes) -> None:
        if command == SUBMIT:
            self._taken.add(_destination(unit))
            asyncio.get_running_loop().call_later(ANSWER_S, self._answer, command, sequence, b"%08x\0" % sequence)
        elif command in (*BIND, UNBIND, ENQUIRE):
            self._answer(command, sequence, b"end\0" if command in BIND else b"")

    def _answer(self, command: int, sequence: int, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(HEADER.pack(HEADER.size + len(body), command | RESPONSE, 0, sequence) + body)


def _destination(submit: bytes) -> str:
    """The number a submit_sm is for: service_type, then type, plan and address of source and destination."""
    after_type = submit.partition(b"\0")[2]
    after_source = after_type[2:].partition(b"\0")[2]
    return after_source[2:].partition(b"\0")[0].decode()


async def _serve(http_port: int, smpp_port: int) -> None:
    loop, taken = asyncio.get_running_loop(), Taken()
    await loop.create_server(lambda: Http(taken), "127.0.0.1", http_port)
    await loop.create_server(lambda: Smpp(taken), "127.0.0.1", smpp_port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(*map(int, sys.argv[1:])))
