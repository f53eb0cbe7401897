"""What keeps the protocol right, each a switch of the model; and what it could do without."""

from enum import StrEnum


class Safeguard(StrEnum):
    """The value says what is so while the switch is on."""

    END_HOLDS_CLOCK = "END holds the clock's lock shared until it has committed"
    CLOCK_LOCKED = "the clock is read under its exclusive lock"
    END_READS_LATE = "END reads the time in a statement after it has its locks"
    SEND_READS_LATE = "SEND reads the time and the END in a statement after it has its lock"
    CAMPAIGN_LOCKED = "SEND holds the campaign's lock shared, END exclusively"
    CLOCK_BEFORE_ROWS = "the clock is read before the campaigns rows are moved"
    ROWS_MOVED = "the campaigns rows are moved before the log's ends are read"
    COVERAGE = "the watermark waits until the offsets cover the reading"
    MAXIMUM = "the watermark keeps the maximum"
    COMPARE_AND_SET = "input offsets move by compare-and-set"
    ONE_BATCH = "a batch's effect and its offsets are one transaction"
    ONE_RELEASE = "a row leaves held in the transaction that writes the outbox"
    ENDS_LAST = "a release reads the ENDs with the watermark or after it, never before"
    ACKED = "the relay deletes a row only once it is acknowledged"
    REACHED = "END is after the first SEND at or after T (reached)"
    CLOCK_FORWARD = "the clock's readings never go back"
    END_AFTER_CLOCK = "END is after the published clock"
    FRESH_ENDS = "the log's ends, when they are read, hold every acknowledged record"
    SEND_AFTER_CLOCK = "SEND is after the published clock"
    SESSION = "the relay asks Postgres only on the session that holds the lock"
    ELECTION = "one relay leads at a time"

    @property
    def spelled(self) -> str:
        return self.name.lower().replace("_", "-")


# Nothing in the code sees to it.
ASSUMED = {
    Safeguard.FRESH_ENDS: "The broker that is asked must lead the partition. One that was deposed, and has not heard "
    "of it, answers an old end.",
}
# What the model checks holds without these.
SPARE = {
    Safeguard.SEND_AFTER_CLOCK: "A SEND that takes itself to be before T is held and goes at the next look at the "
    "watermark; the order of the times that people see is all that it keeps.",
    Safeguard.SESSION: "Rows are deleted by number, after their acknowledgement: whoever deletes one, it is in the log "
    "before the next leader asks for the log's ends. Defence in depth.",
    Safeguard.ELECTION: "Two leaders write more copies, and still each moves every row it finds before it asks for the "
    "log's ends. Efficiency.",
}
NEEDED = [safeguard for safeguard in Safeguard if safeguard not in SPARE]
