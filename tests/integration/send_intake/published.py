"""What is in the topics `clock` and `campaigns`, and whether what the clock says there is true."""

from dataclasses import dataclass
from datetime import datetime

from kernel import kafka

from schemas.codec import decode
from schemas.events import CampaignEnded, ClockAdvanced

EVERYTHING = 1_000_000


@dataclass
class Published:
    """The readings in the topic's order, and where each END lies."""

    clocks: list[ClockAdvanced]
    ends: dict[tuple[int, int], CampaignEnded]  # by partition and offset

    @property
    def readings(self) -> list[datetime]:
        return [clock.at for clock in self.clocks]

    def untrue(self) -> list[tuple[datetime, datetime]]:
        """(reading, END at or before it) where the END does not lie before the offsets of the reading."""
        return [
            (clock.at, end.ended_at)
            for clock in self.clocks
            for (partition, offset), end in self.ends.items()
            if end.ended_at <= clock.at and offset >= clock.campaigns_offsets[str(partition)]
        ]


async def read(bootstrap: str, partitions: int, after: int = 0) -> Published:
    """`after`: how many of the first readings are of no interest."""
    values = await kafka.newest(bootstrap, ("clock", 0), EVERYTHING)
    clocks = [event for event in map(decode, values[after:]) if isinstance(event, ClockAdvanced)]
    ends: dict[tuple[int, int], CampaignEnded] = {}
    for partition in range(partitions):  # nothing is deleted in tests: the n-th record has the offset n
        found = map(decode, await kafka.newest(bootstrap, ("campaigns", partition), EVERYTHING))
        ends |= {(partition, offset): e for offset, e in enumerate(found) if isinstance(e, CampaignEnded)}
    return Published(clocks, ends)
