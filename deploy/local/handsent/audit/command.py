"""`handsent audit`: what an outsider can check, of one campaign and of the log itself."""

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from kernel.settings import load

from handsent.audit import archive, check_run, make_checkpoint, make_export, shelf
from handsent.audit.checkpoint import BadKey, Signed, private_key, public_hex, public_key, public_pem
from handsent.audit.desk import Desk
from handsent.audit.log import Unreadable, run
from handsent.opening import vault_of
from handsent.settings import StackSettings
from handsent.stack import NoStack, Stack, current_stack

folder_option = click.option(
    "--dir", "folder", type=click.Path(file_okay=False, path_type=Path), help="Of checkpoints; HANDSENT_HOME/audit."
)
a_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """Exports of campaigns, and checkpoints of the log, that somebody else can check.

    Exit codes: 0 all is as it should be, 1 something is not, 2 it could not be done at all."""


def _own_key() -> Ed25519PrivateKey | None:
    key = load(StackSettings).audit_key
    return private_key(key) if key else None


def _signing_key() -> Ed25519PrivateKey:
    key = _own_key()
    if key is None:
        raise Unreadable("this needs the setting AUDIT_KEY: 64 hex digits, as `openssl rand -hex 32` makes them")
    return key


@audit.command()
@click.option("--pem", is_flag=True, help="As openssl wants it.")
def key(pem: bool) -> None:
    """Print the public key that checks what AUDIT_KEY signs. Give it to auditors by a way of its own."""
    public = _signing_key().public_key()
    click.echo(public_pem(public).strip() if pem else public_hex(public))


@audit.command()
@folder_option
@click.option("--stdout", is_flag=True, help="Write it there, to be kept elsewhere; --after names the one before.")
@click.option("--after", type=a_file, help="The checkpoint to go on from; the folder's last if not given.")
@click.option("--leaves", is_flag=True, help="Keep each record's hash, too (40 bytes): a check then names the offset.")
def checkpoint(folder: Path | None, stdout: bool, after: Path | None, leaves: bool) -> None:
    """Read the log from the last checkpoint on, and sign the roots of its blocks. Keep the file where nobody who can
    write to the cluster can change it."""
    if stdout and (folder or leaves):
        raise click.UsageError("--stdout writes to no folder, and keeps no leaves")
    key, stack = _signing_key(), current_stack()
    folder = folder or _folder(stack)
    if after is None and not stdout:
        after = next(reversed(shelf.stored(folder)), None)
    previous = shelf.load(after) if after else None
    began = time.monotonic()
    number = previous.checkpoint.number + 1 if previous else 1
    if not stdout:
        _make(folder)
    with shelf.keeping((folder / shelf.name_of(number)).with_suffix(shelf.LEAVES) if leaves else None) as keep:
        made, data = run(lambda: make_checkpoint.make(stack.kafka_bootstrap, previous, key, keep))
    if stdout:
        sys.stdout.buffer.write(data)
    else:
        click.echo(shelf.put(folder, number, data))
    count = sum(block.records for span in made.spans for block in span.blocks)
    click.echo(f"checkpoint {number}: {_paced(count, began)}", err=True)


def _folder(stack: Stack) -> Path:
    return stack.home / "audit"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unreadable(f"{folder}: {error.strerror}") from None


def _paced(count: int, began: float) -> str:
    took = time.monotonic() - began
    return f"{count} events in {took:.1f} s, {count / max(took, 1e-9):.0f} a second"


def _campaign(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise click.BadParameter("a campaign's id is a UUID") from None


@audit.command()
@click.argument("campaign", callback=_campaign)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The archive.")
@click.option("--pii", is_flag=True, help="Opens numbers and texts of people; needs the vault.")
@folder_option
@click.option("--as-of", type=a_file, help="An earlier export: end where it ended.")
def export(campaign: str, output: Path, pii: bool, folder: Path | None, as_of: Path | None) -> None:
    """Write everything the log says of CAMPAIGN into one zip: events as bytes and as JSON lines, schemas, figures,
    recipients, sums, a script that counts once more, and the proofs that the folder's checkpoints give.

    Exit code 1: an event could not be decoded, or the log is not what was signed; the archive has it as it is."""
    stack, began = current_stack(), time.monotonic()
    until = None
    if as_of is not None:
        with archive.opened(as_of) as earlier:
            until = check_run.about(earlier).ends
    chain = check_run.in_order([shelf.load(path) for path in shelf.stored(folder or _folder(stack))])
    work = _Export(stack, campaign, output, pii, until, chain, _own_key())
    try:
        made = run(work.make)
    except check_run.VAULT_CLOSED as error:
        raise Unreadable(f"the vault does not open: {error}") from None
    except sqlite3.Error as error:
        raise Unreadable(f"{output.parent}: {error}") from None
    for line in made.wrong:
        click.echo(line)
    click.echo(f"{_paced(made.records, began)}, {made.undecodable} of them undecodable", err=True)
    click.echo(f"{work.digest}  MANIFEST of {output.name}", err=True)
    sys.exit(1 if made.wrong or made.undecodable else 0)


class _Export:
    """One export under way."""

    def __init__(self, stack: Stack, campaign: str, output: Path, pii: bool, until: Any, chain: Sequence[Signed],
                 key: Ed25519PrivateKey | None) -> None:  # fmt: skip
        self.stack, self.campaign, self.output, self.pii = stack, campaign, output, pii
        self.until, self.chain, self.key = until, chain, key
        self.digest = ""

    async def make(self) -> make_export.Export:
        if not self.output.parent.is_dir():
            raise Unreadable(f"{self.output.parent}: there is no such folder")
        with tempfile.TemporaryDirectory(dir=self.output.parent, prefix=".audit-") as place:
            desk = Desk(Path(place), self.campaign)
            with (Path(place) / "proofs").open("w+b") as proofs:
                try:
                    export = await make_export.read(self.stack.kafka_bootstrap, desk, self.until, self.chain, proofs)
                    with archive.writing(self.output, self.pii) as out:
                        await self._write(out, desk, export, proofs)
                finally:
                    desk.close()
        return export

    async def _write(self, out: archive.Writer, desk: Desk, export: make_export.Export, proofs: Any) -> None:
        if self.pii:
            async with vault_of(self.stack) as vault:
                await make_export.write(out, desk, export, self.chain, proofs, vault)
        else:
            await make_export.write(out, desk, export, self.chain, proofs, None)
        self.digest = out.finish(self.key)


def _keys(given: Sequence[str]) -> list[Ed25519PublicKey]:
    """Those that were given, each in hex or in a file; else our own."""
    own = None if given else _own_key()
    try:
        return [_key(one) for one in given] + ([own.public_key()] if own else [])
    except BadKey as error:
        raise click.BadParameter(str(error), param_hint="--public-key") from None


def _key(said: str) -> Ed25519PublicKey:
    path = Path(said)
    try:
        return public_key(path.read_text() if path.is_file() else said)
    except (OSError, UnicodeDecodeError):
        raise BadKey(f"{said} cannot be read") from None


@audit.command()
@click.argument("files", nargs=-1, required=True, type=a_file)
@click.option(
    "--public-key", "given", multiple=True, help="In hex, or a file; may be repeated. AUDIT_KEY's if not given."
)
@click.option("--offline", is_flag=True, help="Does not look at the log.")
@click.option("--unsigned", is_flag=True, help="Accepts an export that nobody signed, although there is a key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: holds, found, findings by kind, notes.")
def check(files: tuple[Path, ...], given: tuple[str, ...], offline: bool, unsigned: bool, as_json: bool) -> None:
    """Check FILES: exports, checkpoints, or both together. Checkpoints are held against their signatures, their chain
    and the log; an export against itself, its checkpoints and the log. Everything that is not as it should be is a
    line that says where."""
    exports = [path for path in files if archive.is_archive(path)]
    checkpoints = {path: shelf.load(path) for path in files if path not in exports}
    keys = _keys(given)
    if checkpoints and not keys:
        raise click.UsageError("whose signature? Give --public-key (or AUDIT_KEY)")
    checking = check_run.Check(keys, checkpoints, None if offline else _stack(bool(checkpoints)), unsigned)
    checking.checkpoints()
    for path in exports:
        checking.export(path)
    (_say_as_json if as_json else _say)(checking)
    sys.exit(0 if checking.findings.total == 0 else 1)


def _say(checking: check_run.Check) -> None:
    for line in checking.findings.lines():
        click.echo(line)
    for line in checking.notes:
        click.echo(line, err=True)
    total = checking.findings.total
    click.echo("it holds" if total == 0 else f"IT DOES NOT HOLD: {total} found")


def _say_as_json(checking: check_run.Check) -> None:
    findings = checking.findings
    said = {"holds": findings.total == 0, "found": findings.total, "findings": findings.as_dict()}
    click.echo(json.dumps(said | {"notes": checking.notes}))


def _stack(needed: bool) -> Stack | None:
    """The one with the log; an export can be checked by somebody who has none."""
    try:
        stack = current_stack()
        return stack if stack.kafka_bootstrap else None
    except NoStack:
        if needed:
            raise
        return None
