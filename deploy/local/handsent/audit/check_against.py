"""Holds an export's records against the log as it is: each must be there, and none may be missing here."""

from collections.abc import Iterator

from handsent.audit import campaign_log, log
from handsent.audit.archive import Archive, Damaged
from handsent.audit.check_export import About, rank, records
from handsent.audit.desk import TOPICS, Desk
from handsent.audit.findings import Findings
from handsent.audit.framing import Position, Record
from handsent.audit.log import Corrupt


async def check(bootstrap: str, archive: Archive, told: About, desk: Desk, findings: Findings) -> None:
    """Raises Unreadable for an export of another cluster. The desk is for the log's side, and empty."""
    cluster = await log.cluster(bootstrap, TOPICS)
    if cluster.id != told.cluster:
        raise log.Unreadable(f"the export is of another cluster: of {told.cluster}, and this is {cluster.id}")
    for topic in TOPICS:
        if cluster.topic_ids[topic] != told.said["topics"][topic]["id"]:
            findings.add("the log", f"the topic {topic} was made anew since the export")
    for position, end in told.ends.items():
        if cluster.ends.get(position, 0) < end:
            findings.add("the log", f"{position[0]}-{position[1]} ends before offset {end}, where the export ended")
    comparison = _Comparison(_readable(archive, told), findings)
    wanted = campaign_log.spans(cluster, told.ends)
    try:
        async with log.reader(bootstrap) as reader:
            async for page in campaign_log.records(reader, desk, wanted, corrupt=comparison.corrupt):
                desk.meet(page)
                for record in page:
                    comparison.in_log(record)
        comparison.finish()
    except Damaged as error:
        findings.add("damaged files", str(error))


def _readable(archive: Archive, told: About) -> Iterator[Record]:
    """Lines that are none have been told already."""
    return (record for record in records(archive, told.ends, Findings()) if record is not None)


class _Comparison:
    """Two lists in the same order, side by side."""

    def __init__(self, exported: Iterator[Record], findings: Findings) -> None:
        self._exported, self._findings = exported, findings
        self._mine = next(exported, None)
        self._unreadable: set[Position] = set()

    def corrupt(self, error: Corrupt) -> None:
        self._findings.add("the log", str(error))
        self._unreadable.add(error.position)

    def in_log(self, record: Record) -> None:
        while self._mine is not None and rank(self._mine) < rank(record):
            self._not_in_log(self._mine)
        if self._mine is None or rank(self._mine) != rank(record):
            self._findings.add("the log", f"{record.place} is in the log, and not in the export")
            return
        if self._mine.leaf() != record.leaf():
            self._findings.add("the log", f"{record.place} does not say here what it says in the log")
        self._mine = next(self._exported, None)

    def finish(self) -> None:
        while self._mine is not None:
            self._not_in_log(self._mine)

    def _not_in_log(self, mine: Record) -> None:
        if mine.position not in self._unreadable:
            self._findings.add("the log", f"{mine.place} is not in the log")
        self._mine = next(self._exported, None)
