"""The seam to the carriers: one protocol, an adapter per provider, and which of them carries a sender's texts."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol

from dispatcher.outcome import Seen
from dispatcher.provider import KEYED, Leaving, Text, unnoted
from dispatcher.routing import Routing


class Gateway(Protocol):
    """A provider's adapter, open inside `async with`. One `post` is at most one write of these very bytes."""

    def request(self, text: Text) -> bytes:
        """The exact bytes that ask for this text: the same text always has the same."""

    async def post(self, request: bytes, key: str, leaving: Leaving = unnoted) -> Seen:
        """Asks the carrier once, with this idempotency key if it knows keys, and says what was seen.

        `leaving` is called just before the first byte may leave.
        """

    async def __aenter__(self) -> "Gateway": ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


class Gateways:
    """All that are in use, by the provider's name; opened and closed together."""

    def __init__(self, routing: Routing, gateways: Mapping[str, Gateway]) -> None:
        self.routing, self._gateways = routing, gateways
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "Gateways":
        for gateway in self._gateways.values():
            await self._open.enter_async_context(gateway)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._open.aclose()

    def named(self, provider: str) -> Gateway | None:
        """The provider's gateway; None for one that the settings name no more."""
        return self._gateways.get(provider)

    def of_sender(self, sender: str) -> Gateway:
        """The gateway that carries the sender's texts."""
        return self._gateways[self.routing.provider_of(sender)]

    async def ask(self, text: Text, key: str) -> Seen:
        """One POST of this text, by its sender's carrier."""
        gateway = self.of_sender(text.sender)
        return await gateway.post(gateway.request(text), key)

    @staticmethod
    def keyed(provider: str) -> bool:
        """Whether the provider knows idempotency keys."""
        return provider in KEYED
