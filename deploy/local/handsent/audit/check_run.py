"""A whole check: checkpoints with each other and with the log, and exports with all of it."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from kernel.seal import Tampered
from kernel.vault import Vault, WrongVaultKey

from handsent.audit import archive, check_against, check_export, check_log, log, shelf
from handsent.audit.archive import Archive
from handsent.audit.blocks import Cut
from handsent.audit.check_export import About, Checked, about
from handsent.audit.checkpoint import Signed, Span, chain
from handsent.audit.desk import Desk
from handsent.audit.findings import Findings
from handsent.opening import vault_of
from handsent.stack import NoStack, Stack

__all__ = ["VAULT_CLOSED", "Check", "about", "in_order"]
VAULT_CLOSED = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, Tampered, WrongVaultKey)


def in_order(checkpoints: Sequence[Signed]) -> list[Signed]:
    """As a chain. Raises Unreadable for what is none: an export cannot be proven with it."""
    ordered, wrong = chain(checkpoints)
    if wrong:
        raise log.Unreadable(f"{wrong[0]}: look at it with `handsent audit check`")
    if ordered and ordered[0].checkpoint.number > 1:
        first = ordered[0].checkpoint.number
        raise log.Unreadable(f"the folder's checkpoints begin with {first}: put those before it beside it")
    return ordered


class Check:
    """What was given to check, and what was found."""

    def __init__(
        self, keys: Sequence[Ed25519PublicKey], given: Mapping[Path, Signed], stack: Stack | None, unsigned: bool
    ) -> None:
        """`stack` is None where the log is not to be looked at; `unsigned` accepts exports that nobody signed."""
        self._keys, self._stack, self._unsigned = keys, stack, unsigned
        self._files = {signed.digest: path for path, signed in given.items()}
        self._chain, wrong = chain(given.values())
        self.findings, self.notes = Findings(), list[str]()
        self.findings.extend("checkpoints", wrong)

    def checkpoints(self) -> None:
        """Signatures, and the log."""
        self._signed(self._chain)
        if not self._chain:
            return
        first = self._chain[0].checkpoint.number
        if first > 1:
            self.notes.append(f"what was before checkpoint {first} is not checked: the ones before were not given")
        if self._stack is None:
            self.notes.append("the checkpoints were not held against the log")
            return
        self.findings.extend("the log", log.run(self._of_log))
        blocks = sum(len(span.blocks) for signed in self._chain for span in signed.checkpoint.spans)
        self.notes.append(f"{len(self._chain)} checkpoints, {blocks} blocks were held against the log")

    async def _of_log(self) -> list[str]:
        assert self._stack is not None
        return [line async for line in check_log.check(self._stack.kafka_bootstrap, self._chain, self._kept)]

    def _kept(self, signed: Signed, span: Span, block: int) -> Cut | None:
        return shelf.kept(self._files[signed.digest], signed, span.position, block)

    def _signed(self, checkpoints: Sequence[Signed]) -> None:
        for signed in checkpoints:
            if self._keys and not any(signed.is_of(key) for key in self._keys):
                self.findings.add("signatures", f"{signed.name} is not signed with this key")

    def export(self, path: Path) -> None:
        """Everything that can be said of an export with what was given."""
        with archive.opened(path) as opened, tempfile.TemporaryDirectory() as place:
            told = about(opened)
            check_export.check_sums(opened, self.findings)
            check_export.check_schemas(opened, self.findings)
            signed = check_export.check_signature(opened, self._keys, self.findings)
            if self._keys and archive.SIGNATURE not in opened.names and not self._unsigned:
                self.findings.add("signatures", f"{path.name}: its MANIFEST is not signed (--unsigned accepts that)")
            inside = self._inside(opened)
            checked = self._content(opened, told, inside, Path(place))
            self._note(path, opened, told, inside, checked, signed)
            self._doubt(path.name, told, checked, bool(signed))

    def _inside(self, opened: Archive) -> list[Signed]:
        """The export's own checkpoints, which must be those that were given, where both have one."""
        inside = check_export.checkpoints(opened, self.findings)
        self._signed(inside)
        given = {signed.checkpoint.number: signed.digest for signed in self._chain}
        for signed in inside:
            if given.get(signed.checkpoint.number, signed.digest) != signed.digest:
                self.findings.add("checkpoints", f"{signed.name} in the export is not the one that was given")
        return inside

    def _content(self, opened: Archive, told: About, inside: Sequence[Signed], place: Path) -> Checked:
        desk = Desk(place, told.campaign_id)
        numbers = {signed.checkpoint.number for signed in inside}
        others = [signed for signed in self._chain if signed.checkpoint.number not in numbers]
        try:
            checked = check_export.check_records(opened, told, inside, others, desk, self.findings)
            check_export.check_figures(opened, told, desk, self.findings)
        finally:
            desk.close()
        if self._stack is not None:
            (place / "log").mkdir()
            desk = Desk(place / "log", told.campaign_id)
            try:
                log.run(lambda: self._against_log(opened, told, desk, checked))
            except VAULT_CLOSED as error:
                raise log.Unreadable(f"the vault does not open: {error}") from None
            finally:
                desk.close()
        return checked

    async def _against_log(self, opened: Archive, told: About, desk: Desk, checked: Checked) -> None:
        assert self._stack is not None
        async with AsyncExitStack() as until_then:
            vault = await self._vault(until_then) if told.pii else None
            found = await check_against.check(self._stack.kafka_bootstrap, opened, told, desk, vault, self.findings)
            if vault is not None:
                checked.opened = found

    async def _vault(self, until_then: AsyncExitStack) -> Vault | None:
        """None where it is not at hand."""
        assert self._stack is not None
        try:
            return await until_then.enter_async_context(vault_of(self._stack))
        except (NoStack, *VAULT_CLOSED) as error:
            self.notes.append(f"the vault does not open: {error}")
            return None

    def _note(
        self, path: Path, opened: Archive, told: About, inside: Sequence[Signed], checked: Checked, signed: bool | None
    ) -> None:
        self.notes.append(f"{path.name}: campaign {told.campaign_id}, {checked.records} records counted once more")
        if not check_export.is_ours(opened, "count.py"):
            self.notes.append("its count.py is not the one of this version: read it before you run it")
        if checked.withheld:
            self.notes.append(
                f"of {checked.withheld} of them only the hash is here, which proves nothing of what they say:"
                " they were not sealed, or cannot be decoded"
            )
        if inside and self._keys:
            self.notes.append(f"{checked.proven} of them are proven by checkpoints, {checked.later} came later")
        elif inside:
            self.notes.append("whose checkpoints these are was not looked at: give --public-key")
        else:
            self.notes.append("it has no checkpoints: that its records were in the log only the log can show")
        if signed is None:
            self.notes.append("that it is complete nobody vouches for: MANIFEST is not signed, or no key was given")
        if self._stack is None:
            self.notes.append("it was not held against the log")

    def _doubt(self, name: str, told: About, checked: Checked, signed: bool) -> None:
        """What only MANIFEST's signature, or the log, vouches for. With no key nothing else is vouched for either."""
        online = self._stack is not None
        sure = signed or online
        for one in checked.unused:
            line = f"{name}: {one.name}, which was given, reaches over records that have no proofs in it"
            made_later = signed and not check_export.was_there(one.checkpoint, told)
            self._say("checkpoints", line, online or made_later)
        if checked.unproven:
            line = f"{name}: {checked.unproven} records lie below a signed end and are unproven: it ended before there"
            self._say("proofs", line, sure or not self._keys)
        if checked.unreadable:
            line = f"{name}: that {checked.unreadable} withheld records cannot be decoded is not proven"
            self._say("events", line, sure or not self._keys)
        if checked.opened:
            line = f"{name}: opened numbers and texts of {checked.opened} records were not checked"
            self._say("opened", f"{line}: that takes the vault, or MANIFEST's signature", signed)

    def _say(self, kind: str, line: str, fine: bool) -> None:
        if fine:
            self.notes.append(line)
        else:
            self.findings.add(kind, line)
