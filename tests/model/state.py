"""What the model remembers: the committed rows, the logs, and how far everybody is. Immutable, hence hashable."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from tests.model.safeguards import Safeguard

T = 60  # the scheduled time; the wall shows 0 before it and T from then on, the clock adds a microsecond here and there
NEVER = -1

Item = TypeVar("Item")


class Ended(NamedTuple):
    """CampaignEnded. The kind keeps events of different types unequal."""

    campaign: int
    at: int
    kind: str = "CampaignEnded"


class Sent(NamedTuple):
    """RecipientProcessed."""

    recipient: int
    at: int
    kind: str = "RecipientProcessed"


class Created(NamedTuple):
    """CampaignCreated: only fills an offset."""

    campaign: int
    number: int = 0
    kind: str = "CampaignCreated"


class Clock(NamedTuple):
    """ClockAdvanced."""

    at: int
    campaigns_offsets: tuple[int, ...]


Row = Ended | Sent | Created
Event = Row | Clock


class Request(NamedTuple):
    """A SEND or an END on its way: idle, begun (only where it reads too early), open (locks held, time read), over."""

    phase: str = "idle"
    at: int = NEVER


class Intake(NamedTuple):
    """send-intake's committed rows. `ended` and `reached` by campaign, `sent` by recipient."""

    clock: int
    ended: tuple[int, ...]
    reached: tuple[int, ...]
    sent: tuple[int, ...]
    outbox: tuple[Row, ...]


class Relay(NamedTuple):
    """`role`: candidate, leader, zombie (its session is gone, it does not know)."""

    role: str = "candidate"
    row: Row | None = None  # what it moves just now
    step: str = ""  # how far it is with it: read, landed, deleted
    clock: str = ""  # how far it is with a reading of the clock: moving the campaigns rows, moved
    at: int = NEVER  # the reading
    offsets: tuple[int, ...] = ()  # the log's ends that go with it


class Effect(NamedTuple):
    """What a batch will have done once it commits."""

    ended: tuple[Ended, ...] = ()
    held: tuple[Sent, ...] = ()
    clocks: tuple[Clock, ...] = ()
    outcomes: tuple[tuple[int, str], ...] = ()
    watermark: int = NEVER


class Batch(NamedTuple):
    """An open transaction: partition -> next offset, and the effect; `moved` when the offsets went ahead of it."""

    moves: tuple[tuple[int, int], ...]
    effect: Effect
    moved: bool = False


class Release(NamedTuple):
    """A release under way: what was decided and is still to do, by campaign. `ends` were read too early, `gone` rows
    have left held without a trace: neither is so with the safeguards."""

    decisions: tuple[tuple[int, str], ...] = ()
    ends: tuple[int, ...] = ()
    gone: frozenset[Sent] = frozenset()


class Instance(NamedTuple):
    """A scheduler process. `next`: where it believes each partition continues (None: not its own); `owned`: truly."""

    owned: frozenset[int]
    next: tuple[int | None, ...]
    batch: Batch | None = None
    release: Release | None = None


class Schedule(NamedTuple):
    """The scheduler's committed rows, which all instances share. `outcomes` is what its outbox ever held."""

    offsets: tuple[int, ...]
    ended: tuple[int, ...]
    held: frozenset[Sent] = frozenset()
    clocks: frozenset[Clock] = frozenset()
    watermark: int = NEVER
    outcomes: frozenset[tuple[int, str]] = frozenset()


class Budget(NamedTuple):
    """How often each of these may still happen."""

    ticks: int = 2
    sessions: int = 0  # a leader's session ends: it froze, or was killed
    aborts: int = 0  # Postgres ends the transaction of a SEND or an END
    crashes: int = 0  # of scheduler instances
    moves: int = 0  # of a partition to another instance
    backs: int = 0  # the wall goes back before T
    # Ticks that come when nothing else happens any more and messages still wait. Two: of two instances that commit at
    # the same moment neither sees the other's offset, so a reading may stay uncovered until the next one comes.
    recoveries: int = 2


class State(NamedTuple):
    wall: int
    intake: Intake
    sends: tuple[Request, ...]
    ends: tuple[Request, ...]
    relays: tuple[Relay, ...]
    logs: tuple[tuple[Event, ...], ...]  # the partitions of campaigns, then processed, then clock
    schedule: Schedule
    instances: tuple[Instance, ...]
    budget: Budget


@dataclass(frozen=True)
class Scenario:
    """A configuration. Campaign c has its ENDs in partition c of `campaigns`."""

    name: str
    recipients: tuple[int, ...] = (0,)  # the campaign of each
    scheduled: tuple[bool, ...] = (True,)  # whether each campaign has the time T
    ends: tuple[int, ...] = (0,)  # the campaign of each END that may be asked for
    relays: int = 1
    owned: tuple[frozenset[int], ...] = (frozenset({0, 1, 2}),)  # the partitions of each instance, at first
    budget: Budget = field(default_factory=Budget)
    outbox: tuple[Row, ...] = ()
    wide: bool = False  # a batch of an instance may take several partitions

    @property
    def processed(self) -> int:
        """The number of the one partition of `processed`; that of `clock` comes next."""
        return len(self.scheduled)

    @property
    def clock(self) -> int:
        return len(self.scheduled) + 1

    def named(self, partition: int) -> str:
        topics = {self.processed: "processed", self.clock: "clock"}
        return topics.get(partition, f"campaigns/{partition}")

    def start(self) -> State:
        campaigns, partitions = len(self.scheduled), len(self.scheduled) + 2
        never = (NEVER,) * campaigns
        return State(
            wall=0,
            intake=Intake(NEVER, never, never, (NEVER,) * len(self.recipients), self.outbox),
            sends=(Request(),) * len(self.recipients),
            ends=(Request(),) * len(self.ends),
            relays=(Relay(),) * self.relays,
            logs=((),) * partitions,
            schedule=Schedule((0,) * partitions, never),
            instances=tuple(
                Instance(owned, tuple(0 if p in owned else None for p in range(partitions))) for owned in self.owned
            ),
            budget=self.budget,
        )


@dataclass(frozen=True)
class World:
    """A scenario and the safeguards that are missing in it."""

    scenario: Scenario
    without: frozenset[Safeguard] = frozenset()

    def has(self, safeguard: Safeguard) -> bool:
        return safeguard not in self.without


Step = tuple[str, State]


def put(items: tuple[Item, ...], index: int, item: Item) -> tuple[Item, ...]:
    """The tuple with another item there."""
    return (*items[:index], item, *items[index + 1 :])


def spend(state: State, what: str, **changes: Any) -> State:
    """The state with one less of `what` in the budget, and these changes."""
    budget = state.budget._replace(**{what: getattr(state.budget, what) - 1})
    return state._replace(budget=budget, **changes)


def shown(at: int) -> str:
    """A time, by its distance from T."""
    return f"T{at - T:+d}" if at != T else "T"
