"""Opt-outs over HTTP: read, add, lift, export, import; always of the caller's account."""

import asyncio
import codecs
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from kernel.database import Pool
from kernel.openapi import takes_csv, text
from kernel.seal import EVIDENCE, NUMBER
from kernel.tokens import Role, User
from kernel.vault import Vault
from kernel.web import Guarded, GuardedDirect, Problem, is_uuid, json_response, needs, read_json, require_role, user_of
from pydantic import BaseModel, Field

from dispatcher import api_answers as answers
from dispatcher import chunk, csv_list, phone, store_opt_outs
from dispatcher.csv_list import Listed, NoPhoneColumn, Reader, Reject
from dispatcher.store_opt_outs import Recorded, Word
from schemas.identity import person_id
from schemas.reasons import OptOutSource

MOST_LISTED = 500
EXPORT_PAGE = 5000
LINES_AT_ONCE = 50  # as many are read, or sealed, before others have their turn: dispatch runs in this loop, too
REJECTS_SHOWN = 100
LONGEST_LINE = 64 * 1024

REASON = {"name": "reason", "in": "query", "required": False, "schema": {"type": "string"}}
CHANGERS, READERS = (Role.MANAGER,), (Role.MANAGER, Role.AUDITOR)


class NewOptOut(BaseModel):
    """Someone who is not to be texted; a `legal` block is lifted by no START, only by a manager with a reason."""

    phone: str = Field(max_length=64)
    reason: str = Field("", max_length=1000)
    source: Literal["manual", "legal"] = "manual"


class Searched(BaseModel):
    """Whom to look for."""

    phone: str = Field(max_length=64)


class OptOuts:
    """The list of an account."""

    def __init__(self, pool: Pool, vault: Vault, secret: str, region: str, relay: asyncio.Event) -> None:
        self._pool, self._vault, self._secret, self._region, self._relay = pool, vault, secret, region, relay

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/opt-outs", tags=["opt-outs"])
        add, read, change = router.add_api_route, needs(*READERS), needs(*CHANGERS)
        add("", self.page, methods=["GET"], route_class_override=Guarded, openapi_extra=read,
            response_model=answers.OptOutPage)  # fmt: skip
        add("", self.add, methods=["POST"], status_code=201, route_class_override=Guarded, openapi_extra=change,
            response_model=answers.OptOut, responses={200: {"model": answers.OptOut}})  # fmt: skip
        add("/search", self.search, methods=["POST"], route_class_override=Guarded, openapi_extra=read,
            response_model=answers.OptOutPage)  # fmt: skip
        add("/export.csv", self.export, methods=["GET"], route_class_override=Guarded, openapi_extra=read,
            response_class=Response, responses=text("text/csv", ", ".join(csv_list.EXPORTED)))  # fmt: skip
        add("/import", self.import_, methods=["POST"], route_class_override=GuardedDirect,
            openapi_extra={**change, **takes_csv()}, response_model=answers.ImportedOptOuts)  # fmt: skip
        add("/{person_id}", self.lift, methods=["DELETE"], route_class_override=GuardedDirect,
            openapi_extra={**needs(*CHANGERS, late=True), "parameters": [REASON]},
            response_model=answers.Lifted)  # fmt: skip
        return router

    async def page(
        self,
        request: Request,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    ) -> Any:
        """Who has opted out; `after` is the `next` of the page before."""
        account_id = user_of(request).account_id
        rows = await store_opt_outs.page(self._pool, self._vault, account_id, str(after) if after else None, limit)
        more = {"next": rows[-1]["person_id"]} if len(rows) == limit else {}
        return json_response({"opt_outs": rows, **more})

    async def search(self, request: Request, asked: Searched) -> Any:
        """One person's opt-out, if it is in force. A POST, for a number has no place in an address."""
        user = user_of(request)
        found = await self._find(user, person_id(self._secret, user.account_id, self._number(asked.phone)))
        return json_response({"opt_outs": [found.shown] if found is not None and found.in_force else []})

    async def add(self, request: Request, opt_out: NewOptOut) -> Any:
        """Opts a person out. In force, committed, when this is answered."""
        user, number = user_of(request), self._number(opt_out.phone)
        (word,) = await self._words(user, [(number, opt_out.reason)], OptOutSource(opt_out.source))
        before = await self._find(user, word.person_id)
        changed = (await self._record([word])).changed
        after = await self._find(user, word.person_id)
        assert after is not None, "it was recorded, and nothing is ever removed"
        return json_response(after.shown, 201 if changed and not (before and before.in_force) else 200)

    async def lift(self, request: Request) -> Response:
        """Opts a person in again, for a reason: `?reason=`, or JSON `{reason}` where a DELETE may have a body."""
        user, person = user_of(request), request.path_params["person_id"].lower()
        found = await self._find(user, person) if is_uuid(person) else None
        if found is None or not found.in_force:
            raise Problem(404, "not_found", "This person has not opted out of this account's texts.")
        require_role(request)
        reason = request.query_params.get("reason") or (await read_json(request)).get("reason")
        if not isinstance(reason, str) or not reason.strip() or not _is_text(reason):
            raise Problem(422, "missing_reason", "Say why this person may be texted again: reason is missing.")
        keys = await self._vault.keys_for({person: user.account_id})
        evidence = keys[person].seal(EVIDENCE, _stored(reason.strip()[:1000]))
        await self._record([_word(user, person, found.number, evidence, OptOutSource.MANUAL, opted_out=False)])
        return json_response({"person_id": person, "opted_out": False})

    async def export(self, request: Request) -> Any:
        """Everybody who has opted out, as CSV; whoever was erased has no phone any more and is not in it."""
        headers = {"Content-Disposition": 'attachment; filename="opt-outs.csv"'}
        lines = self._lines(user_of(request).account_id)
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)

    async def _lines(self, account_id: str) -> AsyncIterator[str]:
        yield csv_list.header()
        after: str | None = None
        while rows := await store_opt_outs.page(self._pool, self._vault, account_id, after, EXPORT_PAGE):
            known = [row for row in rows if row["phone"] is not None]
            yield "".join(
                csv_list.line(
                    r["phone"], r["source"], r["reason"] or "", r["opted_out_at"], r["opted_out_by"], r["reply"]
                )
                for r in known
            )
            after = rows[-1]["person_id"]

    async def import_(self, request: Request) -> Response:
        """Opts out everybody on a list. Each chunk is in force as it is read, so a cut upload has done its part."""
        user, reader, tally = user_of(request), Reader(self._region), _Tally()
        try:
            async for lines in _lines_of(request):
                tally.read(reader.rows(lines))
                while len(tally.waiting) >= tally.size:
                    await self._put_in_force(user, tally)
                await asyncio.sleep(0)
        except NoPhoneColumn as error:
            raise Problem(422, "missing_column", str(error)) from None
        while tally.waiting:
            await self._put_in_force(user, tally)
        return json_response(tally.shown())

    async def _put_in_force(self, user: User, tally: "_Tally") -> None:
        """The next chunk, sealed before the lock is taken."""
        listed = [(row.number, row.reason) for row in tally.next_chunk()]
        tally.note(await self._record(await self._words(user, listed, OptOutSource.IMPORT)))

    async def _find(self, user: User, person: str) -> store_opt_outs.Standing | None:
        return await store_opt_outs.find(self._pool, self._vault, user.account_id, person)

    async def _record(self, words: list[Word]) -> Recorded:
        recorded = await store_opt_outs.record(self._pool, words)
        if recorded.changed:
            self._relay.set()
        return recorded

    def _number(self, typed: str) -> str:
        try:
            return phone.read(typed, self._region)
        except phone.BadPhone as error:
            raise Problem(422, "bad_phone", str(error)) from None

    async def _words(self, user: User, listed: Sequence[tuple[str, str]], source: OptOutSource) -> list[Word]:
        """These people, each a number with a reason, opt out; sealed with keys that are made for who has none."""
        people = {number: person_id(self._secret, user.account_id, number) for number, _ in listed}
        keys = await self._vault.keys_for(dict.fromkeys(people.values(), user.account_id))
        words = []
        for at, (number, reason) in enumerate(listed):
            if at and at % LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
            person, key = people[number], keys[people[number]]
            sealed, evidence = key.seal(NUMBER, number), key.seal(EVIDENCE, _stored(reason))
            words.append(_word(user, person, sealed, evidence, source, opted_out=True))
        return words


@dataclass(slots=True)
class _Tally:
    """What has been read of a list, and what of that is in force."""

    size: int = chunk.FIRST
    waiting: list[Listed] = field(default_factory=list)
    added: int = 0
    listed: int = 0
    rejected: int = 0
    rejects: list[Reject] = field(default_factory=list)

    def read(self, rows: Iterable[Listed | Reject]) -> None:
        for row in rows:
            if isinstance(row, Listed):
                self.waiting.append(row)
                self.listed += 1
            else:
                self.rejects += [row] if self.rejected < REJECTS_SHOWN else []
                self.rejected += 1

    def next_chunk(self) -> list[Listed]:
        taken, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        return taken

    def note(self, recorded: Recorded) -> None:
        self.added += len(recorded.changed)
        self.size = chunk.next_size(self.size, recorded.held_s)

    def shown(self) -> dict[str, Any]:
        rejects = [{"line": reject.line, "reason": reject.reason} for reject in self.rejects]
        already = self.listed - self.added
        return {"added": self.added, "already": already, "rejected": self.rejected, "rejects": rejects}


def _word(user: User, person: str, number: str, evidence: str, source: OptOutSource, *, opted_out: bool) -> Word:
    return Word(
        opted_out=opted_out,
        account_id=user.account_id,
        person_id=person,
        number=number,
        source=source,
        evidence=evidence,
        actor=user.user_id,
        caused_by=None,
        at=datetime.now(UTC),
    )


def _is_text(reason: str) -> bool:
    """Whether it is whole characters; half of one can be neither sealed nor stored."""
    return not any("\ud800" <= character <= "\udfff" for character in reason)


def _stored(reason: str) -> str:
    return reason.replace("\0", "")


async def _lines_of(request: Request) -> AsyncIterator[list[str]]:
    """The body's lines in chunks, decoded as UTF-8 with or without BOM. Raises Problem 400 and 413."""
    decoder, rest, lines = codecs.getincrementaldecoder("utf-8-sig")(), "", []
    try:
        async for block in request.stream():
            *whole, rest = (rest + decoder.decode(block)).split("\n")
            if len(rest) > LONGEST_LINE:
                raise Problem(413, "too_large", f"A line is longer than {LONGEST_LINE} characters.")
            lines += whole
            for at in range(0, len(lines) - LINES_AT_ONCE + 1, LINES_AT_ONCE):
                yield lines[at : at + LINES_AT_ONCE]
            lines = lines[len(lines) // LINES_AT_ONCE * LINES_AT_ONCE :]
        yield [*lines, rest + decoder.decode(b"", final=True)]
    except UnicodeDecodeError:
        raise Problem(400, "bad_encoding", "The list is not UTF-8.") from None
