"""What is a person's, sealed on its way in and opened for those who press: nothing of it is stored readable."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import structlog
from kernel.database import Connection, Row
from kernel.seal import CELLS, NUMBER, TEMPLATE, Key, Tampered, is_sealed, key_id_of, text_of, unseal
from kernel.vault import KeysMissing, Kind, Vault

from schemas.identity import person_id, recipient_id
from send_intake.admission import Campaign, NewRecipient, Press, Sealed
from send_intake.import_ import Row as ListRow
from send_intake.store import q

log = structlog.get_logger()


class Person(NamedTuple):
    """A recipient as people see them: the number and the list's other columns."""

    number: str
    columns: dict[str, str]


async def new_recipients(
    vault: Vault, secret: str, campaign: Campaign, rows: Iterable[ListRow]
) -> dict[str, NewRecipient]:
    """One for each number, its first row; positions count from 0. Keys are made for those nobody has met."""
    first: dict[str, tuple[int, ListRow]] = {}
    for position, row in enumerate(rows):
        first.setdefault(row.number, (position, row))
    people = {number: person_id(secret, campaign.account_id, number) for number in first}
    keys = await vault.keys_for(dict.fromkeys(people.values(), campaign.account_id))
    return {
        (rid := recipient_id(campaign.campaign_id, number)): _sealed(rid, people[number], position, row, keys)
        for number, (position, row) in first.items()
    }


def _sealed(rid: str, person: str, position: int, row: ListRow, keys: Mapping[str, Key]) -> NewRecipient:
    key = keys[person]
    cells = orjson.dumps(list(row.columns.values())).decode()
    return NewRecipient(rid, person, position, key.seal(NUMBER, row.number), tuple(row.columns), key.seal(CELLS, cells))


async def to_press(connection: Connection, vault: Vault, presses: Sequence[Press]) -> dict[str, Sealed | None]:
    """What the presses need of recipients that nobody has pressed yet, each text rendered as the person gets it.

    None for one whose data cannot be read although nobody erased them: they are not pressed, and nobody else suffers.
    Read before anything is locked: none of it ever changes, so no END waits for the vault.
    """
    ids = [press.recipient_id for press in presses]
    rows = await connection.fetch(q.to_press, ids, [press.campaign.campaign_id for press in presses])
    keys = await vault.keys(row["person_id"] for row in rows)
    # By the recipient's own campaign: a press may name another one, and must not lend it its text.
    campaigns = {press.campaign.campaign_id: press.campaign for press in presses}
    plain = [row for row in rows if not is_sealed(row["number"])]
    keys |= await _met(vault, {row["person_id"]: campaigns[row["campaign_id"]].account_id for row in plain})
    people = {row["recipient_id"]: _opened(row, keys.get(row["person_id"])) for row in rows}
    erased = await erased_of(vault, [row for row in rows if people[row["recipient_id"]] is None])
    return {
        row["recipient_id"]: Sealed(row["person_id"], row["number"], "", None, row["first_sender"])
        if row["recipient_id"] in erased
        else _rendered(row, people[row["recipient_id"]], keys.get(row["person_id"]), campaigns[row["campaign_id"]])
        for row in rows
    }


async def _met(vault: Vault, people: Mapping[str, str]) -> dict[str, Key]:
    """The keys of those whom a version listed that did not seal yet: what leaves from here on is sealed."""
    try:
        return await vault.keys_for(people)
    except KeysMissing:  # of one, who waits for it; the others' were made
        return await vault.keys(people)


def _rendered(row: Row, who: Person | None, key: Key | None, campaign: Campaign) -> Sealed | None:
    rid, person = row["recipient_id"], row["person_id"]
    if who is None or key is None:
        return None
    text = campaign.template.render(who.columns)
    number = row["number"] if is_sealed(row["number"]) else key.seal(NUMBER, who.number)
    said = key.seal(text_of(rid), text), key.commitment(rid, text)
    return Sealed(person, number, *said, row["first_sender"])


async def open_rows(vault: Vault, rows: Sequence[Row]) -> dict[str, Person | None]:
    """The recipients of rows; None for one who was erased. One that cannot be read otherwise is left out."""
    keys = await vault.keys(row["person_id"] for row in rows)
    people = {row["recipient_id"]: _opened(row, keys.get(row["person_id"])) for row in rows}
    erased = await erased_of(vault, [row for row in rows if people[row["recipient_id"]] is None])
    return {id_: person for id_, person in people.items() if person is not None or id_ in erased}


async def erased_of(vault: Vault, rows: Sequence[Row]) -> set[str]:
    """The recipients among these closed rows whose key was destroyed. The others' keys are missing: that is a fault."""
    keys = {row["recipient_id"]: (row["person_id"], key_id_of(row["number"])) for row in rows}
    if not keys:
        return set()
    destroyed = await vault.destroyed((person, key_id) for person, key_id in keys.values() if key_id is not None)
    if missing := len(keys) - sum(key in destroyed for key in keys.values()):
        log.error("keys_missing", recipients=missing, advice="Is this the vault they were sealed with?")
    return {recipient_id for recipient_id, key in keys.items() if key in destroyed}


def _opened(row: Row, key: Key | None) -> Person | None:
    """The recipient of a row; None without their key, or when the row is not as it was sealed."""
    try:
        return _person(row, key)
    except Tampered as error:
        log.error("recipient_tampered", recipient_id=row["recipient_id"], error=str(error))
        return None


def _person(row: Row, key: Key | None) -> Person | None:
    number, cells = unseal(key, NUMBER, row["number"]), unseal(key, CELLS, row["cells"])
    if number is None or cells is None:
        return None
    return Person(number, dict(zip(orjson.loads(row["columns"]), orjson.loads(cells), strict=True)))


async def seal_template(vault: Vault, account_id: str, campaign_id: str, text: str) -> str:
    """A template may be the whole text: it is sealed under a key of the campaign's own."""
    keys = await vault.keys_for({campaign_id: account_id}, Kind.CAMPAIGN)
    return keys[campaign_id].seal(TEMPLATE, text)


async def open_templates(vault: Vault, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Campaigns with their text as it was written. Raises KeysMissing: nobody erases a campaign."""
    found = [dict(row) for row in rows]
    keys = await vault.keys(row["id"] for row in found)
    texts = [unseal(keys.get(row["id"]), TEMPLATE, row["text"]) for row in found]
    if None in texts:
        raise KeysMissing("the text of a campaign cannot be opened")
    return [{**row, "text": text} for row, text in zip(found, texts, strict=True)]
