"""The scenarios, each small enough to be explored to its end, and where each safeguard is missed."""

from tests.model.safeguards import Safeguard
from tests.model.state import Budget, Created, Scenario

CAMPAIGNS, PROCESSED, CLOCK = 0, 1, 2  # the partitions, where there is one campaign
APART = (frozenset({CAMPAIGNS, CLOCK}), frozenset({PROCESSED}))

PLAIN = Scenario("a SEND, an END, a clock", budget=Budget(ticks=1), wide=True)
AT_ONCE = Scenario("not scheduled", scheduled=(False,), budget=Budget(ticks=1))
PAIR = Scenario("two recipients", recipients=(0, 0), budget=Budget(ticks=1))
BACK = Scenario("the wall goes back", budget=Budget(ticks=2, backs=1))
RETRIES = Scenario("two ENDs, aborted transactions", ends=(0, 0), budget=Budget(ticks=1, aborts=1, backs=1))
RELAYS = Scenario("a leader freezes or dies", relays=2, budget=Budget(ticks=1, sessions=1))
PEERS = Scenario("two relays, no faults", relays=2, budget=Budget(ticks=1))
LATE = Scenario("a reading is published late", relays=2, ends=(), budget=Budget(ticks=2, sessions=1))
KILLED = Scenario("an instance is killed", owned=APART, budget=Budget(ticks=1, crashes=1), wide=True)
MOVED = Scenario("a partition moves", owned=APART, outbox=(Created(0),), budget=Budget(ticks=1, moves=1))
QUIET = Scenario(
    "a partition moves, no END",
    owned=APART,
    ends=(),
    outbox=(Created(0), Created(0, 1)),
    budget=Budget(ticks=0, moves=1),
)
BOTH = Scenario("a partition moves, an instance is killed", owned=APART, budget=Budget(ticks=1, crashes=1, moves=1))
MIXED = Scenario(
    "two campaigns, two partitions",
    recipients=(0, 1),
    scheduled=(True, False),
    owned=(frozenset({0, 3}), frozenset({1, 2})),
    budget=Budget(ticks=1),
)
ALL = [PLAIN, AT_ONCE, PAIR, BACK, RETRIES, RELAYS, PEERS, LATE, KILLED, MOVED, QUIET, BOTH, MIXED]

LARGE = Scenario(
    "large, at random",
    recipients=(0, 0, 1, 1),
    scheduled=(True, True),
    ends=(0, 0, 1),
    relays=3,
    owned=(frozenset({0, 3}), frozenset({1}), frozenset({2})),
    budget=Budget(ticks=8, sessions=4, aborts=3, crashes=3, moves=4, backs=2),
    outbox=(Created(0), Created(1)),
    wide=True,
)

MISSED_IN = {
    Safeguard.END_HOLDS_CLOCK: PLAIN,
    Safeguard.CLOCK_LOCKED: PLAIN,
    Safeguard.END_READS_LATE: PLAIN,
    Safeguard.SEND_READS_LATE: PLAIN,
    Safeguard.CAMPAIGN_LOCKED: PLAIN,
    Safeguard.ROWS_MOVED: PLAIN,
    Safeguard.CLOCK_BEFORE_ROWS: PLAIN,
    Safeguard.COVERAGE: PLAIN,
    Safeguard.MAXIMUM: LATE,  # nothing but the watermark suffers: messages would be later, none would go wrong
    Safeguard.COMPARE_AND_SET: QUIET,
    Safeguard.ONE_BATCH: KILLED,
    Safeguard.ONE_RELEASE: KILLED,
    Safeguard.ENDS_LAST: PLAIN,
    Safeguard.ACKED: RELAYS,
    Safeguard.REACHED: BACK,
    Safeguard.CLOCK_FORWARD: BACK,
    Safeguard.END_AFTER_CLOCK: BACK,
    Safeguard.FRESH_ENDS: PLAIN,
    # Looked for in vain.
    Safeguard.SEND_AFTER_CLOCK: BACK,
    Safeguard.SESSION: RELAYS,
    Safeguard.ELECTION: PEERS,
}
