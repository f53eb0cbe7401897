"""Holds an export's records against the log as it is: each must be there, and none may be missing here."""

from collections.abc import Iterator, Sequence

from kernel.seal import Tampered
from kernel.vault import Vault

from handsent.audit import campaign_log, log, telling
from handsent.audit.archive import Archive, Damaged
from handsent.audit.check_export import NO_EVENT, About, rank, why, with_lines
from handsent.audit.desk import TOPICS, Desk
from handsent.audit.findings import Findings
from handsent.audit.framing import Position, Record
from handsent.audit.log import Corrupt
from handsent.audit.make_export import seen
from handsent.log_view import Seen
from handsent.opening import opened

NOTHING: tuple[Record | None, bytes] = None, b""


async def check(
    bootstrap: str, archive: Archive, told: About, desk: Desk, vault: Vault | None, findings: Findings
) -> int:
    """Raises Unreadable for an export of another cluster. The desk is for the log's side, and empty. With the vault
    what is told open is compared, too; returns how many records tell open what even the vault does not (any more)."""
    cluster = await log.cluster(bootstrap, TOPICS)
    if cluster.id != told.cluster:
        raise log.Unreadable(f"the export is of another cluster: of {told.cluster}, and this is {cluster.id}")
    for topic in TOPICS:
        if cluster.topic_ids[topic] != told.said["topics"][topic]["id"]:
            findings.add("the log", f"the topic {topic} was made anew since the export")
    for position, end in told.ends.items():
        if cluster.ends.get(position, 0) < end:
            findings.add("the log", f"{position[0]}-{position[1]} ends before offset {end}, where the export ended")
    comparison = _Comparison(with_lines(archive, told, Findings()), findings)  # bad lines have been told already
    wanted = campaign_log.spans(cluster, told.ends)
    try:
        async with log.reader(bootstrap) as reader:
            async for page in campaign_log.records(reader, desk, wanted, corrupt=comparison.corrupt):
                desk.meet(page)
                shown = await _opened(page, vault, findings) if vault else [None] * len(page)
                for record, one in zip(page, shown, strict=True):
                    comparison.in_log(record, one)
        comparison.finish()
    except Damaged as error:
        findings.add("damaged files", str(error))
    return comparison.unopened


async def _opened(page: list[Record], vault: Vault, findings: Findings) -> Sequence[Seen]:
    shown = [seen(record) for record in page]
    try:
        return await opened(vault, shown)
    except Tampered as error:
        findings.add("the vault", f"from {page[0].place} to {page[-1].place}: {error}")
        return shown


class _Comparison:
    """Two lists in the same order, side by side."""

    def __init__(self, exported: Iterator[tuple[Record, bytes]], findings: Findings) -> None:
        self._exported, self._findings = exported, findings
        self._unreadable: set[Position] = set()
        self.unopened = 0
        self._next()

    def _next(self) -> None:
        self._mine, self._line = next(self._exported, NOTHING)

    def corrupt(self, error: Corrupt) -> None:
        self._findings.add("the log", str(error))
        self._unreadable.add(error.position)

    def in_log(self, record: Record, shown: Seen | None) -> None:
        """`shown` is the record opened, where what is open in the export is to be compared."""
        while self._mine is not None and rank(self._mine) < rank(record):
            self._not_in_log(self._mine)
        if self._mine is None or rank(self._mine) != rank(record):
            self._findings.add("the log", f"{record.place} is in the log, and not in the export")
            return
        if self._mine.leaf() != record.leaf():
            self._findings.add("the log", f"{record.place} does not say here what it says in the log")
        elif self._mine.withheld is not None:
            self._compare_withheld(self._mine, record)
        elif shown is not None:
            self._compare(shown, True)
        self._next()

    def _compare_withheld(self, mine: Record, record: Record) -> None:
        """The leaf is all of it that was checked: what else the export says of the record is not tied to it."""
        if mine[:5] != record[:5] or mine.headers != record.headers:
            self._findings.add("the log", f"{record.place} has another key, time or header in the log")
        self._compare(seen(record), False)

    def _compare(self, shown: Seen, pii: bool) -> None:
        try:
            self.unopened += not telling.compare(self._line, shown, pii)
        except NO_EVENT as error:
            place = f"{shown.topic}-{shown.partition}@{shown.offset}"
            self._findings.add("the log", f"{place} says something else in the log: its line {why(error)}")

    def finish(self) -> None:
        while self._mine is not None:
            self._not_in_log(self._mine)

    def _not_in_log(self, mine: Record) -> None:
        if mine.position not in self._unreadable:
            self._findings.add("the log", f"{mine.place} is not in the log")
        self._next()
