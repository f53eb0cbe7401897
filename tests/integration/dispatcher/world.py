"""What the tests of the dispatcher see: processes, a campaign and its people, and what became of them."""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kernel.kafka import Watcher
from kernel.seal import EVIDENCE, NUMBER, is_sealed, key_id_of, text_of, unseal
from kernel.testing import VAULT_KEY
from kernel.tokens import Role, User, issue
from kernel.vault import Vault

from schemas.codec import decode, encode, key_of
from schemas.events import CampaignCreated, Event, MessageReleased
from schemas.identity import event_id, person_id, recipient_id
from schemas.topics import TOPIC_OF, TOPICS
from tests.integration.numbers import a_person, a_sender
from tests.integration.process import Process, free_port

SECRET = "a person id secret for tests"
TOKEN_KEY = "a token key for tests that is long enough"
ENVIRONMENT = {
    "TOKEN_KEY": TOKEN_KEY,
    "PERSON_ID_SECRET": SECRET,
    "VAULT_KEY": VAULT_KEY,
    "CALLBACK_KEY": "a callback key for tests",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "an auth token for tests",
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE_S = 15.0


class Stack:
    """What a test sees: the log, the carrier, the dispatcher's face, and its process."""

    def __init__(self, folder: Path, database_url: str, bootstrap: str, **more: str) -> None:
        """`more` are settings of the carrier and of every dispatcher."""
        self._more = more
        self.folder, self.database_url, self.bootstrap = folder, database_url, bootstrap
        carrier_port, port = free_port(), free_port()
        self.ports = {"CARRIER_PORT": str(carrier_port), "DISPATCHER_PORT": str(port)}
        self.carrier_url, self.url = f"http://127.0.0.1:{carrier_port}", f"http://127.0.0.1:{port}"
        environment = {
            **ENVIRONMENT,
            **self.ports,
            **more,
            "SIMULATOR_DATA": str(folder / "simulator"),
        }
        self.carrier = Process("simulator", folder, self.carrier_url, environment)
        self.dispatcher = self.a_dispatcher(port)

    def a_dispatcher(self, port: int, **environment: str) -> Process:
        """Another process of the service, with the first one's public URL unless it says otherwise."""
        settings = {"DATABASE_URL": self.database_url, "KAFKA_BOOTSTRAP": self.bootstrap, "PUBLIC_URL": self.url}
        own = {**ENVIRONMENT, **self.ports, **self._more, **settings, "DISPATCHER_PORT": str(port), **environment}
        return Process("dispatcher", self.folder, f"http://127.0.0.1:{port}", own)


RECEIPTS = {"MessageDelivered", "MessageNotDelivered"}


class World:
    """One test's campaign, with what happened to its recipients."""

    def __init__(self, stack: Stack, http: aiohttp.ClientSession, database: asyncpg.Connection, vault: Vault) -> None:
        self.stack, self.http, self.database, self.vault = stack, http, database, vault
        self._sealed: dict[str, MessageReleased] = {}
        self._readers: dict[str, AIOKafkaConsumer] = {}
        self._events: defaultdict[str, list[Any]] = defaultdict(list)
        self._watcher = Watcher(stack.bootstrap)
        self.account_id, self.campaign_id = str(uuid.uuid4()), str(uuid.uuid4())
        self.sender = a_sender()
        self.tokens = {role: issue(TOKEN_KEY, User(self.account_id, f"the {role}", role, role), "t") for role in Role}

    def number(self) -> str:
        return a_person()

    def rid(self, number: str) -> str:
        return recipient_id(self.campaign_id, number)

    def person(self, number: str) -> str:
        return person_id(SECRET, self.account_id, number)

    def created(self, *also: str) -> CampaignCreated:
        """The campaign, with these senders beside its first."""
        return CampaignCreated(
            event_id=event_id(self.campaign_id, "CampaignCreated"), account_id=self.account_id,
            campaign_id=self.campaign_id, occurred_at=NOON, actor="u", caused_by=None, name="n", text="t",
            scheduled_for=None, sender=self.sender, senders=(self.sender, *also) if also else (),
        )  # fmt: skip

    def released(
        self, number: str, text: str = "Hello, this is a text", useful_until: datetime | None = None
    ) -> MessageReleased:
        rid = self.rid(number)
        return MessageReleased(
            event_id=event_id(rid, "MessageReleased"), account_id=self.account_id, campaign_id=self.campaign_id,
            recipient_id=rid, person_id=self.person(number), occurred_at=NOON, actor="scheduler",
            caused_by=event_id(rid, "RecipientProcessed"), due_at=NOON, scheduled_for=None, number=number, text=text,
            sender=self.sender, useful_until=useful_until,
        )  # fmt: skip

    async def publish(self, *events: Event) -> None:
        """Releases are sealed, as send-intake does it."""
        releases = {event.event_id: event for event in events if isinstance(event, MessageReleased)}
        sealed = dict(zip(releases, await self.all_sealed(*releases.values()), strict=True))
        await self.publish_as_they_are(*(sealed.get(event.event_id, event) for event in events))

    async def sealed(self, released: MessageReleased) -> MessageReleased:
        return (await self.all_sealed(released))[0]

    async def all_sealed(self, *releases: MessageReleased) -> list[MessageReleased]:
        """With their persons' keys, which are made; the same event has the same bytes while its key is there."""
        keys = await self.vault.keys_for({event.person_id: event.account_id for event in releases})
        for event in releases:
            key, text, known = keys[event.person_id], text_of(event.recipient_id), self._sealed.get(event.event_id)
            if not is_sealed(event.number) and (known is None or key_id_of(known.number) != key.key_id):
                sealed = replace(event, number=key.seal(NUMBER, event.number), text=key.seal(text, event.text))
                self._sealed[event.event_id] = sealed
        return [self._sealed.get(event.event_id, event) for event in releases]

    async def publish_as_they_are(self, *events: Event) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.stack.bootstrap, enable_idempotence=True, acks="all")
        await producer.start()
        try:
            for event in events:
                await producer.send(TOPIC_OF[type(event)].name, encode(event), key_of(event))
            await producer.flush()
        finally:
            await producer.stop()

    async def opened(self, event: Any) -> tuple[str | None, str | None]:
        """The number and the evidence of an opt-out."""
        key = (await self.vault.keys([event.person_id])).get(event.person_id)
        return unseal(key, NUMBER, event.number), unseal(key, EVIDENCE, event.evidence)

    async def log(self, topic: str) -> list[Any]:
        """The account's events in this topic, in order within a key."""
        if topic not in self._readers:
            self._readers[topic] = await self._reader(topic)
        reader, ends = self._readers[topic], await self._watcher.ends(self._positions(topic))
        while any([await reader.position(TopicPartition(*p)) < end for p, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                events: list[Any] = [decode(record.value) for record in records]
                self._events[topic] += [
                    event for event in events if getattr(event, "account_id", "") == self.account_id
                ]
        return list(self._events[topic])

    def _positions(self, topic: str) -> list[tuple[str, int]]:
        return [(topic, partition) for partition in range(TOPICS[topic].partitions_local)]

    async def _reader(self, topic: str) -> AIOKafkaConsumer:
        reader = AIOKafkaConsumer(
            bootstrap_servers=self.stack.bootstrap, enable_auto_commit=False, fetch_max_wait_ms=50
        )
        await reader.start()
        reader.assign([TopicPartition(*position) for position in self._positions(topic)])
        await reader.seek_to_beginning()
        return reader

    async def close(self) -> None:
        for reader in self._readers.values():
            await reader.stop()
        await self._watcher.stop()

    async def told(self, *numbers: str, until: str = "", patience_s: float = PATIENCE_S) -> list[list[str]]:
        """What `dispatches` and `receipts` say of each number; `until` waits for an event of that name for each."""
        found: list[list[str]] = []

        async def all_there() -> bool:
            events = await self.log("dispatches") + await self.log("receipts")
            found[:] = [[type(e).__name__ for e in events if e.recipient_id == self.rid(n)] for n in numbers]
            # One relay round fills both topics, in any order: a receipt's acceptance may be seen after it.
            whole = all("MessageAccepted" in names for names in found if RECEIPTS & set(names))
            return whole and all(until in names or not until for names in found)

        await eventually(all_there, lambda: f"{until} in {found}", patience_s)
        return found

    async def opt_outs(self, number: str) -> tuple[int, dict[str, Any]]:
        """The list, but for others than this number."""
        status, page = await self.call("GET", "/opt-outs", params={"limit": "500"})
        return status, {"opt_outs": [found for found in page["opt_outs"] if found["phone"] == number]}

    async def ledger(self, *numbers: str) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.stack.carrier_url}/simulator/ledger") as answer:
            lines = [orjson.loads(line) for line in (await answer.read()).splitlines()]
        return [line for line in lines if line["to"] in numbers]

    async def posts(self, number: str) -> int:
        return len(await self.ledger(number))

    async def faults(self, **faults: Any) -> None:
        async with self.http.put(f"{self.stack.carrier_url}/simulator/faults", json=faults) as answer:
            assert answer.status == 200, await answer.text()

    async def replies(self, number: str, body: str, **more: str) -> int:
        reply = {"from": number, "to": self.sender, "body": body, **more}
        async with self.http.post(f"{self.stack.carrier_url}/simulator/inbound", json=reply) as answer:
            return answer.status

    async def hears(self, number: str, body: str, **more: str) -> list[str]:
        """The texts that a reply is answered with in the webhook's answer."""
        reply = {"from": number, "to": self.sender, "body": body, **more}
        async with self.http.post(f"{self.stack.carrier_url}/simulator/inbound", json=reply) as answer:
            assert answer.status == 200
            answers: list[str] = (await answer.json()).get("answers", [])
            return answers

    def headers(self, role: Role | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}

    async def call(
        self, method: str, path: str, role: Role | None = Role.MANAGER, **request: Any
    ) -> tuple[int, dict[str, Any]]:
        url = f"{self.stack.url}/api/v1{path}"
        async with self.http.request(method, url, headers=self.headers(role), **request) as answer:
            return answer.status, orjson.loads(await answer.read())


async def eventually(
    condition: Callable[[], Awaitable[bool]], what: Callable[[], str], patience_s: float = PATIENCE_S
) -> None:
    deadline = time.monotonic() + patience_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {patience_s} s: {what()}"
        await asyncio.sleep(0.1)
