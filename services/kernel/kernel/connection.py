"""HTTP connections with an end to patience: uvicorn waits for ever for the rest of a request, and for slow readers.

Nothing here runs per request but a few assignments; one sweep a second looks at every connection.
"""

from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from kernel.guard import ALL
from kernel.problem import Problem, problem_response

PIECE_BYTES = 1024


@dataclass(frozen=True)
class Limits:
    """How long and how much is waited for. A whole upload may take hours, as long as it goes on."""

    head_s: float = 10.0  # from the first byte of a request, or the connection, to the end of its headers
    head_bytes: int = 64 * 1024
    stall_s: float = 30.0  # the next PIECE_BYTES of a body must come, or of an answer be taken, within
    connections: int = 5000


def bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol for `uvicorn.Config(http=…)`."""
    return type("Bounded", (_Bounded,), {"limits": limits})


def sweep(connections: Any, now: float) -> None:
    """Closes the connections whose time is over. `now` is the event loop's."""
    for connection in list(connections):
        if isinstance(connection, _Bounded):
            connection.look(now)


class _Bounded(HttpToolsProtocol):
    limits = Limits()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head_since: float | None = self.loop.time()
        self._head_bytes = 0
        self._in_body = False
        self._piece_since, self._piece_bytes = 0.0, 0
        self._unread: tuple[float, int] | None = None  # since when this much has waited to be taken
        self._refusal: Problem | None = None
        if len(self.connections) > self.limits.connections:
            self._refusal = Problem(503, "too_many_connections", "Too many connections. Try again.")
            self._refuse(self._refusal)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_body:
            self._count_piece(len(data))
        else:
            self._head_bytes += len(data)
            if self._head_since is None:
                self._head_since = self.loop.time()
        super().data_received(data)
        if self._head_since is not None and self._head_bytes > self.limits.head_bytes:
            self._refuse(_too_large_a_head(self.limits))

    def _count_piece(self, size: int) -> None:
        self._piece_bytes += size
        if self._piece_bytes >= PIECE_BYTES:
            self._piece_since, self._piece_bytes = self.loop.time(), 0

    def on_headers_complete(self) -> None:
        if self._head_bytes > self.limits.head_bytes and self._head_size() > self.limits.head_bytes:
            self._refusal = _too_large_a_head(self.limits)
            raise ValueError("the head is too large")  # the parser stops, and `send_400_response` says why
        self._head_since, self._head_bytes = None, 0
        self._in_body, self._piece_since, self._piece_bytes = True, self.loop.time(), 0
        super().on_headers_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def resume_writing(self) -> None:
        self._unread = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or Problem(400, "malformed_request", "This is not HTTP as we speak it."))

    def look(self, now: float) -> None:
        """Closes it if it has been waited for long enough."""
        if self.transport.is_closing():
            return
        if self._head_since is not None and self._is_answering():  # the next request came early
            self._head_since = now
        if self._head_since is not None and now - self._head_since > self.limits.head_s:
            self._refuse(Problem(408, "too_slow", "The request did not come in time."))
        elif self._in_body and self.flow.read_paused:  # it is us who do not read
            self._piece_since = now
        elif self._in_body and now - self._piece_since > self.limits.stall_s:
            self._refuse(Problem(408, "too_slow", "The body did not come in time."))
        elif self._nobody_reads(now):
            self.transport.abort()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _nobody_reads(self, now: float) -> bool:
        """Whether an answer has waited for its reader, who took nothing of it."""
        left = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        if not left:
            self._unread = None
        elif self._unread is None or left < self._unread[1]:
            self._unread = now, left
        return self._unread is not None and now - self._unread[0] > self.limits.stall_s

    def _refuse(self, problem: Problem) -> None:
        """Says why, unless an answer is under way, and closes."""
        if self.transport.is_closing():
            return
        under_way = self._is_answering() and self.cycle.response_started
        if not under_way and not self.pipeline and not self._is_silent():
            self.transport.write(_bytes_of(problem))
        self.transport.close()

    def _is_silent(self) -> bool:
        """A connection that was opened in advance and not used is closed without a word."""
        return self._head_since is not None and not self._head_bytes and self._refusal is None


def _too_large_a_head(limits: Limits) -> Problem:
    return Problem(431, "head_too_large", f"The headers are longer than {limits.head_bytes} bytes.")


def _bytes_of(problem: Problem) -> bytes:
    response = problem_response(problem)
    headers = [*response.raw_headers, *ALL, (b"connection", b"close")]
    lines = [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", bytes(response.body)])
