"""The recipient report as people download it: made once, at full speed, into a spool; sent from there, in parts too."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from kernel.database import Pool, acting_for
from kernel.errors import retriable
from kernel.vault import Vault
from kernel.web import Problem, problem_response

from projections.ranges import Unsatisfiable, byte_range
from projections.report import Sheet, file_name
from projections.store_reads import Campaign, Key
from projections.store_report import Moment, Paper, one_moment, report
from projections.store_spool import Broken, Spool, Spools
from projections.workbook import Workbook

log = structlog.get_logger()

MOST_OFFSETS = 4096  # characters; with hundreds of partitions a client may not take a header so long
AT_ONCE = 3  # of the pool's connections: Progress must not wait for downloads


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    extension: str
    media_type: str
    paper: Callable[[Campaign, Moment, list[str]], Paper]


def _workbook(campaign: Campaign, moment: Moment, own: list[str]) -> Workbook:
    about = [("campaign", campaign.name or ""), ("campaign_id", str(campaign.campaign_id)), ("as_of", _rfc3339(moment))]
    return Workbook(own, about)


CSV = Kind("csv", "text/csv; charset=utf-8", lambda _campaign, _moment, own: Sheet(own))
XLSX = Kind("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _workbook)


@dataclass(frozen=True)
class Made:
    """A report that is made, or being made."""

    key: Key
    kind: Kind
    moment: Moment
    spool: Spool

    @property
    def etag(self) -> str:
        return f'"{self.spool.id}"'


class Reports:
    """Makes reports, a few at a time, and keeps them for a while in spools of at most `spool_bytes` together."""

    def __init__(self, pool: Pool, vault: Vault, spool_bytes: int) -> None:
        self._pool, self._vault = pool, vault
        self._spools = Spools(spool_bytes)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._made: dict[str, Made] = {}
        self._making: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled; then what is being made is given up."""
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._making:
                task.cancel()
            await asyncio.gather(*self._making, return_exceptions=True)

    async def answer(self, campaign: Campaign, kind: Kind, request: Request) -> Response:
        """A new report; or the part that was asked for of one that is still kept (`Range` and `If-Range`)."""
        made = self._made.get(request.headers.get("if-range", ""))
        asked = request.headers.get("range")
        if asked and made and (made.key, made.kind) == (campaign.key, kind):
            try:
                return await self._part(campaign, made, asked)
            except Broken:
                pass  # a new one, whole
        made = await self._begin(campaign, kind)
        return StreamingResponse(made.spool.read(), headers=_headers(campaign, made), media_type=kind.media_type)

    async def _part(self, campaign: Campaign, made: Made, asked: str) -> Response:
        """Raises Broken."""
        size = await made.spool.whole()
        headers = _headers(campaign, made)
        try:
            part = byte_range(asked, size) or range(size)
        except Unsatisfiable:
            problem = Problem(416, "no_such_range", f"The report has {size} bytes.")
            return problem_response(problem, {"Content-Range": f"bytes */{size}"})
        headers |= {"Content-Range": f"bytes {part.start}-{part.stop - 1}/{size}", "Content-Length": str(len(part))}
        body = made.spool.read(part.start, part.stop)
        return StreamingResponse(body, 206, headers=headers, media_type=made.kind.media_type)

    async def _begin(self, campaign: Campaign, kind: Kind) -> Made:
        """The report, as soon as its moment is known."""
        begun: asyncio.Future[Made] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._make(campaign, kind, begun))
        self._making.add(task)
        task.add_done_callback(self._making.discard)
        return await begun

    async def _make(self, campaign: Campaign, kind: Kind, begun: "asyncio.Future[Made]") -> None:
        async with self._slots:
            if begun.cancelled():  # whoever asked did not wait for their turn
                return
            try:
                made = await self._write(campaign, kind, begun)
            except Exception as error:
                if not begun.done():
                    begun.set_exception(error)
                elif isinstance(error, Broken | TimeoutError) or retriable(error):
                    log.warning("report_broke_off", error=repr(error))
                else:
                    log.error("report_broke", exc_info=error)
                return
        try:
            await self._spools.keep(made.spool)
        finally:
            del self._made[made.etag]

    async def _write(self, campaign: Campaign, kind: Kind, begun: "asyncio.Future[Made]") -> Made:
        """A failure half-way breaks its readers off: a short report must not look whole."""
        async with acting_for(self._pool, campaign.account_id) as connection, one_moment(connection) as moment:
            made = Made(campaign.key, kind, moment, self._spools.new())
            self._made[made.etag] = made
            try:
                if not begun.cancelled():
                    begun.set_result(made)
                paper = partial(kind.paper, campaign, moment)
                async for piece in report(connection, self._vault, campaign.campaign_id, paper):
                    made.spool.append(piece)
            except BaseException:
                made.spool.end(broken=True)
                self._spools.forget(made.spool)
                del self._made[made.etag]
                raise
            made.spool.end()
        return made


def _headers(campaign: Campaign, made: Made) -> dict[str, str]:
    name = file_name(campaign.name, str(campaign.campaign_id), made.moment.at, made.kind.extension)
    offsets = made.moment.offsets.replace(" ", "")
    return {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
        "Accept-Ranges": "bytes",
        "ETag": made.etag,
        "Handsent-As-Of": _rfc3339(made.moment),
        **({"Handsent-Offsets": offsets} if len(offsets) <= MOST_OFFSETS else {}),
    }


def _rfc3339(moment: Moment) -> str:
    return moment.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
