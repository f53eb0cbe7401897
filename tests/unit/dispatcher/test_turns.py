"""Whose turn it is: nobody waits for more than their share, however much others have waiting."""

from collections import Counter

from dispatcher.turns import Lane, Turns
from hypothesis import given
from hypothesis import strategies as st

SENDER = "+12025550100"


def lane(account: str, campaign: str = "1", sender: str = SENDER) -> Lane:
    return Lane(account, f"{account}{campaign}", sender)


def everybody(_: Lane) -> bool:
    return True


def by_account(picked: Counter[Lane]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one, count in picked.items():
        total[one.account_id] += count
    return total


def test_an_account_with_fifty_campaigns_gets_no_more_than_one_with_one() -> None:
    turns = Turns()
    turns.listed([lane("a", str(n)) for n in range(50)] + [lane("b")])
    assert by_account(turns.pick(20, everybody)) == {"a": 10, "b": 10}


def test_a_new_campaign_is_served_next_whatever_waits_in_its_account() -> None:
    turns = Turns()
    turns.listed([lane("a")])
    assert turns.pick(128, everybody) == {lane("a"): 128}
    turns.landed(lane("a"), 2)
    turns.listed([lane("a"), lane("a", "2")])
    assert turns.pick(1, everybody) == {lane("a", "2"): 1}
    turns.listed([lane("a"), lane("a", "2"), lane("b")])
    assert turns.pick(1, everybody) == {lane("b"): 1}


def test_campaigns_of_an_account_take_turns_and_a_campaign_s_senders_too() -> None:
    turns = Turns()
    lanes = [lane("a", "1"), lane("a", "2", "+1"), lane("a", "2", "+2")]
    turns.listed(lanes)
    assert turns.pick(8, everybody) == {lanes[0]: 4, lanes[1]: 2, lanes[2]: 2}


def test_a_slow_carrier_keeps_its_account_s_share_busy_and_no_more() -> None:
    turns = Turns()
    turns.listed([lane("slow"), lane("fast")])
    flying = turns.pick(20, everybody)
    for _ in range(50):  # the fast one's come back at once, the slow one's never
        turns.landed(lane("fast"), flying[lane("fast")])
        flying = turns.pick(10, everybody)
        assert flying == {lane("fast"): 10}


def test_who_may_not_is_passed_over_and_costs_nobody_a_turn() -> None:
    turns = Turns()
    stuck, free = lane("a", "1", "+1"), lane("a", "1", "+2")
    turns.listed([stuck, free, lane("b", "1", "+1")])
    assert turns.pick(5, lambda one: one.sender != "+1") == {free: 5}
    assert not turns.pick(5, lambda one: False)


def test_a_lane_that_was_noticed_is_served_beside_the_listed_ones() -> None:
    turns = Turns()
    turns.listed([lane("a")])
    turns.add([lane("b"), lane("a")])
    assert turns.pick(2, everybody) == {lane("a"): 1, lane("b"): 1}


def test_what_is_drained_is_not_picked_until_it_is_listed_again() -> None:
    turns = Turns()
    turns.listed([lane("a"), lane("b")])
    turns.drained(lane("a"))
    turns.drained(lane("a"))
    assert turns.pick(4, everybody) == {lane("b"): 4}
    turns.listed([lane("a")])
    assert turns.pick(4, everybody) == {lane("a"): 4}


lanes = st.lists(
    st.builds(lane, st.sampled_from("abcd"), st.sampled_from("123"), st.sampled_from(["+1", "+2"])),
    min_size=1, unique=True,
)  # fmt: skip


@given(lanes, st.integers(0, 300))
def test_all_that_is_free_is_used_and_accounts_and_campaigns_are_level(waiting: list[Lane], count: int) -> None:
    turns = Turns()
    turns.listed(waiting)
    picked = turns.pick(count, everybody)
    assert picked.total() == count
    accounts = by_account(picked)
    shares = [accounts[account] for account in {one.account_id for one in waiting}]
    assert max(shares) - min(shares) <= 1
    for account in accounts:
        campaigns: Counter[str] = Counter()
        for one in waiting:
            campaigns[one.campaign_id] += picked[one] if one.account_id == account else 0
        shares = [n for campaign, n in campaigns.items() if campaign[0] == account]
        assert max(shares) - min(shares) <= 1


@given(lanes, st.lists(st.tuples(st.sets(st.integers(0, 23)), st.integers(1, 4)), max_size=40))
def test_whoever_arrives_waits_for_at_most_one_turn_of_each_other(
    all_lanes: list[Lane], arrivals: list[tuple[set[int], int]]
) -> None:
    """Over any arrivals: while an account waits, no other is served twice more often than it."""
    turns, waited = Turns(), {}
    for present, free in arrivals:
        waiting = [one for n, one in enumerate(all_lanes) if n in present]
        turns.listed(waiting)
        accounts = {one.account_id for one in waiting}
        waited = {account: waited.get(account, Counter()) for account in accounts}
        picked = turns.pick(free, everybody)
        assert picked.total() == (free if waiting else 0)
        for one, count in picked.items():
            turns.landed(one, count)
        for account in by_account(picked):
            waited[account] = Counter()
        for account in accounts - set(by_account(picked)):
            waited[account] += Counter(set(by_account(picked)))
            assert all(times <= 2 for times in waited[account].values())
