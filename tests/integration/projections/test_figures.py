"""Figures over time, by sender, side by side, of the account; and behind every number as many people as it says."""

import random
from collections import Counter
from typing import Any
from uuid import uuid4

from projections.figures import SUMS
from projections.progress import State

from tests.integration.projections.world import World, eventually

KINDS = ("added", "waiting", "suppressed", "dropped", "rejected", "failed", "delivered", "awaiting", "unconfirmed",
         "unknown")  # fmt: skip


def story(life: Any, kind: str) -> list[Any]:
    """What happened to a recipient who ends in this way."""
    sent = [life.added(), life.processed(), life.released(), life.attempted()]
    of_kind = {
        "added": [life.added()],
        "waiting": [life.added(), life.processed()],
        "suppressed": [*sent[:3], life.suppressed()],
        "dropped": [*sent[:2], life.dropped()],
        "rejected": [*sent, life.rejected()],
        "failed": [*sent, life.accepted(), life.not_delivered()],
        "delivered": [*sent, life.accepted(), life.delivered()],
        "awaiting": [*sent, life.accepted()],
        "unconfirmed": [*sent, life.accepted(), life.unconfirmed()],
        "unknown": [*sent, life.unresolved()],
    }
    return of_kind[kind]


async def told(world: World, people: int, seed: int, campaign: str = "spring") -> str:
    """A campaign of people who ended in ways made up, once it is all folded; its id."""
    chance = random.Random(seed)
    lives = [world.life(n, campaign=campaign) for n in range(people)]
    events = [event for life in lives for event in story(life, chance.choice(KINDS))]
    chance.shuffle(events)
    await world.publish([lives[0].created(), *events])
    await world.caught_up()
    return lives[0].campaign_id


async def at(world: World, path: str, account_id: str | None = None) -> tuple[int, Any]:
    async with world.http.get(f"{world.service.url}/api/v1{path}", headers=world.headers(account_id)) as answer:
        return answer.status, await answer.json()


async def pages(world: World, query: str, chance: random.Random) -> list[Any]:
    """Everybody behind a question, page by page, each page of any size."""
    found: list[Any] = []
    after = ""
    while True:
        status, page = await world.get(f"/recipients?{query}&limit={chance.randint(1, 40)}{after}")
        assert status == 200, page
        found += page["recipients"]
        if "next" not in page:
            return found
        after = f"&after={page['next']}"


async def test_behind_every_number_are_as_many_people_as_it_says(world: World) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    await told(world, 150, seed)
    progress = await world.progress_is(recipients=150)
    for name in (*State, *SUMS):
        found = await pages(world, f"state={name}", chance)
        assert len({row["recipient_id"] for row in found}) == len(found) == progress[name], (seed, name)
        assert [row["phone"] for row in found] == sorted(row["phone"] for row in found), "list order"
        for reason, n in Counter(row["reason_code"] for row in found if row["reason_code"]).items():
            because = await pages(world, f"state={name}&reason={reason}", chance)
            assert [row["recipient_id"] for row in because] == [
                row["recipient_id"] for row in found if row["reason_code"] == reason
            ], (seed, name, reason)
            assert len(because) == n
    for reason, n in progress["failed_by_reason"].items():
        assert len(await pages(world, f"state=failed&reason={reason}", chance)) == n, (seed, reason)


async def test_pages_are_stable_while_states_change(world: World) -> None:
    lives = [world.life(n) for n in range(60)]
    await world.publish([lives[0].created(), *(life.added() for life in lives)])
    await world.progress_is(unprocessed=60)
    seen, after = [], ""
    for turn in range(7):
        _, page = await world.get(f"/recipients?state=recipients&limit=10{after}")
        seen += [row["phone"] for row in page["recipients"]]
        if "next" not in page:
            break
        after = f"&after={page['next']}"
        await world.publish(life.delivered() for life in lives[turn * 9 : turn * 9 + 9])
        await world.progress_is(delivered=min(60, turn * 9 + 9))
    assert seen == [life.number for life in lives]


async def test_the_last_point_of_the_history_is_progress_and_every_point_adds_up(world: World) -> None:
    campaign_id = await told(world, 80, 5)
    progress = await world.progress_is(recipients=80)
    status, history = await world.get("/progress/history")
    assert (status, history["campaign_id"], history["step_s"]) == (200, campaign_id, 60)
    points = history["points"]
    assert [point["at"] for point in points] == sorted(point["at"] for point in points)
    for point in points:
        assert point["recipients"] == point["unprocessed"] + point["processed"]
        assert point["processed"] == sum(point[n] for n in ("waiting", "suppressed", "dropped", "sent"))
        assert point["sent"] == point["delivered"] + point["not_delivered"]
        assert min(point[name] for name in State) >= 0
    assert {name: points[-1][name] for name in (*State, *SUMS)} == {name: progress[name] for name in (*State, *SUMS)}
    assert history["as_of"] == progress["as_of"]
    _, coarse = await world.get("/progress/history?step=3600")
    assert coarse["points"][-1] == {**points[-1], "at": coarse["points"][-1]["at"]}
    assert points[0] == {**points[0], "at": "2026-03-01T11:56:00Z", "recipients": 80, "unprocessed": 80}


async def test_a_history_of_nobody_and_questions_that_are_refused(world: World) -> None:
    await world.publish([world.life(0).created()])
    await world.progress_is(recipients=0)
    assert (await world.get("/progress/history"))[1]["points"] == []
    for step in ("59", "90", "-60", "x"):
        assert (await world.get(f"/progress/history?step={step}"))[0] == 422
    assert (await world.get("/senders"))[1] == {"senders": []}


async def test_who_pressed_send_and_how_often(world: World) -> None:
    lives = [world.life(n) for n in range(5)]
    await world.publish([lives[0].created(), *(life.added() for life in lives)])
    await world.publish([*(life.processed() for life in lives[:3]), *(life.processed() for life in lives[:3])])
    await world.publish([lives[3].delivered()])  # its press is still on its way
    await world.progress_is(processed=4)
    noon = "2026-03-01T12:00:00Z"
    sam = {"processed_by": "sam", "processed": 3, "first_at": noon, "last_at": noon}
    assert await world.get("/senders") == (200, {"senders": [sam]})


async def test_the_account_is_the_sum_of_its_campaigns(world: World) -> None:
    ids = [await told(world, people, people, name) for people, name in ((20, "spring"), (30, "summer"), (15, "fall"))]
    await world.publish([world.life(0, campaign="summer").ended()])

    async def all_here() -> Any:
        _, found = await at(world, "/account/progress")
        return found if (found["all"]["recipients"], found["completed"]["campaigns"]) == (65, 1) else None

    await eventually(all_here, lambda: "the account's events are folded")
    await world.caught_up()
    _, found = await at(world, "/account/progress")
    _, compared = await at(world, f"/campaigns/compare?ids={','.join(ids)}")
    assert [one["campaign_id"] for one in compared["campaigns"]] == ids
    for name in (*State, *SUMS):
        assert found["all"][name] == sum(one[name] for one in compared["campaigns"])
        assert found["completed"][name] == compared["campaigns"][1][name]
        assert found["current"][name] == found["all"][name] - found["completed"][name]
    assert [found[part]["campaigns"] for part in ("current", "completed", "all")] == [2, 1, 3]
    one = compared["campaigns"][0]
    assert one["shares"]["processed"] == round(one["processed"] / 20, 4)
    assert one["shares"]["delivered"] == round(one["delivered"] / one["sent"], 4)
    assert compared["as_of"] == found["as_of"]
    _, nothing = await at(world, "/account/progress", str(uuid4()))
    assert nothing["all"]["campaigns"] == nothing["all"]["recipients"] == 0


async def test_only_what_is_the_account_s_is_compared(world: World) -> None:
    campaign_id = await told(world, 3, 1)
    assert (await at(world, f"/campaigns/compare?ids={campaign_id}"))[0] == 200
    for ids, status in ((f"{campaign_id},{uuid4()}", 404), ("x", 422), (",", 422), ("", 200)):
        assert (await at(world, f"/campaigns/compare?ids={ids}"))[0] == status
    many = ",".join(str(uuid4()) for _ in range(51))
    assert (await at(world, f"/campaigns/compare?ids={many}"))[1]["code"] == "too_many"
    assert (await at(world, f"/campaigns/compare?ids={campaign_id}", str(uuid4())))[0] == 404
    assert await at(world, "/campaigns/compare") == (200, {"campaigns": [], "as_of": {}})
