import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Iterator

import aiohttp

from .conftest import SID, TOKEN, Simulator, Webhooks, eventually


async def send_until_gone(simulator: Simulator, numbers: Iterator[int], answered: dict[str, str]) -> None:
    """Presses on until the simulator is killed, and remembers what was answered."""
    while True:
        to = f"+1202{next(numbers)}"
        try:
            status, message = await simulator.send(to)
        except aiohttp.ClientError:
            return
        assert status == 201
        answered[to] = str(message["sid"])


async def test_after_a_kill_every_answer_is_in_the_ledger_and_every_receipt_comes(
    simulator: Simulator, webhooks: Webhooks
) -> None:
    answered: dict[str, str] = {}
    numbers = itertools.count(5_551_000)
    for round_ in range(3):
        await simulator.faults({"receipts": {"delay_ms": 300}})
        load = asyncio.gather(*(send_until_gone(simulator, numbers, answered) for _ in range(16)))
        enough = 150 * (round_ + 1)
        await eventually(lambda enough=enough: len(answered) >= enough)  # type: ignore[misc]
        await simulator.stop(signal.SIGKILL)
        await load
        await simulator.start()
    ledger = await simulator.ledger()
    taken = {str(line["to"]): str(line["message_id"]) for line in ledger}
    assert len(taken) == len(ledger)
    assert answered.items() <= taken.items()
    assert len(set(taken.values())) == len(taken)
    await eventually(lambda: webhooks.finished() >= set(taken.values()))
    assert webhooks.finished() == set(taken.values())


async def test_receipts_owed_survive_a_kill_and_a_webhook_that_is_away(
    simulator: Simulator, webhooks: Webhooks
) -> None:
    await webhooks.stop()
    sids = {str((await simulator.send(f"+1202555{n}"))[1]["sid"]) for n in range(2000, 2010)}
    await simulator.stop(signal.SIGKILL)
    await simulator.start()
    await webhooks.start()
    await eventually(lambda: webhooks.finished() == sids)


async def test_receipts_that_were_answered_are_not_sent_again(simulator: Simulator, webhooks: Webhooks) -> None:
    first = str((await simulator.send("+12025552000"))[1]["sid"])
    kept = simulator.folder / "kept.u64"
    await eventually(lambda: kept.stat().st_size == 8)
    await simulator.stop(signal.SIGKILL)
    await simulator.start()
    second = str((await simulator.send("+12025552001"))[1]["sid"])
    await eventually(lambda: second in webhooks.finished())
    assert webhooks.statuses_of(first) == ["sent", "delivered"]


async def test_a_torn_last_line_is_cut_off(simulator: Simulator) -> None:
    _, message = await simulator.send("+12025552000")
    await simulator.stop(signal.SIGKILL)
    for name in ("ledger.jsonl", "promises.jsonl", "kept.u64"):
        with (simulator.folder / name).open("ab") as file:
            file.write(b'{"rec')
    await simulator.start()
    _, second = await simulator.send("+12025552001")
    assert [line["message_id"] for line in await simulator.ledger()] == [message["sid"], second["sid"]]
    assert (await simulator.look_up(f"/{second['sid']}"))[1]["to"] == "+12025552001"


async def test_a_folder_has_one_simulator(simulator: Simulator) -> None:
    environ = {
        **os.environ,
        "SIMULATOR_DATA": str(simulator.folder),
        "TWILIO_ACCOUNT_SID": SID,
        "TWILIO_AUTH_TOKEN": TOKEN,
    }
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", env=environ, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(second.communicate(), 10)
    assert second.returncode == 1
    assert b"another simulator" in said
