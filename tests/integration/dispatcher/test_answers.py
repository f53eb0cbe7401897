"""What STOP, START and HELP are answered with: once, and never as a second text of a campaign."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from dispatcher import app_notices, keywords, store, store_notices, store_replies
from dispatcher.app_connections import Connections
from dispatcher.app_notices import Notices
from dispatcher.notice import Kind, Texts
from dispatcher.outcome import Answer, NoAnswer, Said, Seen
from dispatcher.provider import Text
from dispatcher.store_replies import Reply, Sealer
from kernel import database
from kernel.database import Pool
from kernel.testing import VAULT_KEY
from kernel.vault import Vault, open_vault

from tests.integration.dispatcher.world import SECRET, World, eventually
from tests.integration.numbers import a_sender

STOPPED = ["You will get no more texts from us. Reply START if you want them again."]
TAKEN = Answer(Said.TAKEN, "SM1")
THROTTLED = Answer(Said.THROTTLED)


async def test_a_stop_is_confirmed_once_and_a_repeated_webhook_says_the_same(sending: World) -> None:
    number = sending.number()
    first = {"message_id": "SM1" + sending.campaign_id}
    assert await sending.hears(number, "STOP", **first) == STOPPED
    assert await sending.hears(number, "STOP", **first) == STOPPED
    assert await sending.hears(number, "stop!!") == []
    assert await sending.hears(number, "START") != []
    assert await sending.hears(number, "STOP", **first) == STOPPED, "the first answer, not a new one"
    assert (await sending.opt_outs(number))[1] == {"opt_outs": []}
    assert await sending.hears(number, "START") == []
    assert len(await sending.hears(number, "opt out")) == 1
    assert await sending.posts(number) == 0


async def test_what_the_carrier_has_answered_is_not_answered_again(sending: World) -> None:
    number = sending.number()
    assert await sending.hears(number, "STOP", opt_out_type="STOP") == []
    assert await sending.hears(number, "START", opt_out_type="START") == []
    assert await sending.hears(number, "HELP", opt_out_type="HELP") == []
    assert len(await sending.hears(number, "HELP")) == 1


async def test_who_is_out_is_answered_nothing_but_their_stop(sending: World) -> None:
    number = sending.number()
    assert await sending.hears(number, "please stop texting me") == STOPPED
    assert await sending.hears(number, "HELP") == []
    assert await sending.hears(number, "I will sue you") == []
    assert (await sending.call("POST", "/opt-outs", json={"phone": number, "source": "legal"}))[0] == 200
    assert await sending.hears(number, "START") == []


@dataclass
class Carrier:
    """Answers POSTs as told, the last answer again and again."""

    answers: list[Seen]
    texts: list[Text] = field(default_factory=list)

    async def ask(self, text: Text, _key: str) -> Seen:
        self.texts.append(text)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass
class Desk:
    """Replies to one sender of one account, at a provider whose webhooks cannot answer."""

    pool: Pool
    vault: Vault
    sender: str

    async def hear(self, body: str, number: str, at: datetime | None = None, id_: str = "") -> str:
        reply_id = id_ or str(uuid4())
        reply = Reply(reply_id, number, self.sender, body, keywords.verdict(body), at or datetime.now(UTC))
        await store_replies.receive(self.pool, Sealer(self.vault, SECRET), [reply])
        return reply_id

    def serving(self, carrier: Carrier, connections: Connections | None = None) -> Notices:
        texts = Texts({Kind.STOPPED: "no more", Kind.STARTED: "again", Kind.HELP: "by hand"})
        return Notices(self.pool, self.vault, texts, carrier, connections or Connections(5))  # type: ignore[arg-type]

    async def states(self) -> Sequence[str]:
        rows = await self.pool.fetch("SELECT state FROM notices ORDER BY made_at")
        return [row["state"] for row in rows]


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    await database.migrate(database_url, store.SCHEMA, "dispatcher")
    pool = await store.open_pool(database_url)
    vault = await open_vault(database_url, store.SCHEMA, [VAULT_KEY])
    sender = a_sender()
    await pool.execute("INSERT INTO senders (number, account_id) VALUES ($1, $2)", sender, str(uuid4()))
    yield Desk(pool, vault, sender)
    await vault.close()
    await pool.close()


ADA, BOB = "+12025550123", "+12025550124"


async def test_a_confirmation_that_is_a_text_goes_once(desk: Desk) -> None:
    carrier = Carrier([TAKEN])
    stop = await desk.hear("STOP", ADA)
    await desk.hear("STOP", ADA, id_=stop)
    await desk.hear("stop it", ADA)
    await asyncio.gather(*(desk.serving(carrier).serve() for _ in range(4)))
    assert await desk.serving(carrier).serve() == 0
    assert [(text.to, text.sender, text.body) for text in carrier.texts] == [(ADA, desk.sender, "no more")]
    assert await desk.states() == ["sent"]


async def test_an_answer_whose_outcome_is_unknown_is_never_sent_again(desk: Desk) -> None:
    for seen in (NoAnswer.TIMEOUT, Answer(Said.BROKEN)):
        carrier = Carrier([seen])
        await desk.hear("HELP", ADA)
        assert await desk.serving(carrier).serve() == 1
        assert await desk.serving(carrier).serve() == 0
    assert await desk.states() == ["unknown", "unknown"]


async def test_an_answer_that_was_not_taken_is_tried_again(desk: Desk) -> None:
    carrier = Carrier([THROTTLED, TAKEN])
    await desk.hear("STOP", ADA)
    assert await desk.serving(carrier).serve() == 1
    assert await desk.serving(carrier).serve() == 0, "it rests"
    await desk.pool.execute("UPDATE notices SET not_before = now()")
    assert await desk.serving(carrier).serve() == 1
    assert await desk.states() == ["sent"]


async def test_what_a_process_took_before_it_died_is_given_up(desk: Desk) -> None:
    await desk.hear("STOP", ADA)
    texts = Texts({Kind.STOPPED: "no more"})
    async with desk.pool.acquire() as connection, connection.transaction():
        assert len(await store_notices.take(connection, desk.vault, texts, datetime.now(UTC), 10)) == 1
    carrier = Carrier([TAKEN])
    await desk.serving(carrier).serve()
    assert await desk.states() == ["posting"]
    await desk.pool.execute("UPDATE notices SET posted_at = posted_at - interval '3 minutes'")
    await desk.serving(carrier).serve()
    assert (await desk.states(), carrier.texts) == (["unknown"], [])


async def test_an_answer_that_comes_too_late_or_is_overtaken_is_not_sent(desk: Desk) -> None:
    carrier = Carrier([TAKEN])
    await desk.hear("STOP", ADA, at=datetime.now(UTC) - timedelta(minutes=6))
    await desk.hear("HELP", BOB)
    await desk.hear("STOP", BOB)
    await desk.serving(carrier).serve()
    assert await desk.states() == ["late", "not_wanted", "sent"]
    assert [(text.to, text.body) for text in carrier.texts] == [(BOB, "no more")]


async def test_an_answer_that_waited_long_for_a_connection_is_decided_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_notices, "NOTICE_LIFE_S", 0.05, raising=False)
    carrier, connections = Carrier([TAKEN]), Connections(1)
    connections.take(1)
    await desk.hear("HELP", ADA)
    serving = asyncio.create_task(desk.serving(carrier, connections).serve())

    async def taken() -> bool:
        return await desk.states() == ["posting"]

    await eventually(taken, lambda: "it is taken")
    await desk.hear("STOP", ADA)
    await asyncio.sleep(0.1)
    connections.give()
    assert await serving == 1
    assert (await desk.states(), carrier.texts) == (["waiting", "waiting"], [])
    monkeypatch.undo()
    await desk.serving(carrier).serve()
    assert await desk.states() == ["not_wanted", "sent"]
    assert [text.body for text in carrier.texts] == ["no more"]
