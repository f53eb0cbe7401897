"""What is a person's, sealed on its way in and opened for those who press: nothing of it is stored readable."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from kernel.database import Connection, Row
from kernel.seal import CELLS, NUMBER, TEMPLATE, Key, text_of, unseal
from kernel.vault import Kind, Vault

from schemas.identity import person_id, recipient_id
from send_intake.admission import Campaign, NewRecipient, Press, Sealed
from send_intake.import_ import Row as ListRow
from send_intake.store import q


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


async def to_press(connection: Connection, vault: Vault, presses: Sequence[Press]) -> dict[str, Sealed]:
    """What the presses need of recipients that nobody has pressed yet, each text rendered as the person gets it.

    Read before anything is locked: none of it ever changes, so no END waits for the vault.
    """
    ids = [press.recipient_id for press in presses]
    rows = await connection.fetch(q.to_press, ids, [press.campaign.campaign_id for press in presses])
    keys = await vault.keys(row["person_id"] for row in rows)
    # By the recipient's own campaign: a press may name another one, and must not lend it its text.
    campaigns = {press.campaign.campaign_id: press.campaign for press in presses}
    return {row["recipient_id"]: _rendered(row, keys, campaigns[row["campaign_id"]]) for row in rows}


def _rendered(row: Row, keys: Mapping[str, Key], campaign: Campaign) -> Sealed:
    rid, person, key = row["recipient_id"], row["person_id"], keys.get(row["person_id"])
    who = opened(row, key)
    if who is None or key is None:
        return Sealed(person, row["number"], "", None)
    text = campaign.template.render(who.columns)
    return Sealed(person, row["number"], key.seal(text_of(rid), text), key.commitment(rid, text))


def opened(row: Row, key: Key | None) -> Person | None:
    """The recipient of a row; None when they were erased."""
    number, cells = unseal(key, NUMBER, row["number"]), unseal(key, CELLS, row["cells"])
    if number is None or cells is None:
        return None
    return Person(number, dict(zip(orjson.loads(row["columns"]), orjson.loads(cells), strict=True)))


async def seal_template(vault: Vault, account_id: str, campaign_id: str, text: str) -> str:
    """A template may be the whole text: it is sealed under a key of the campaign's own."""
    keys = await vault.keys_for({campaign_id: account_id}, Kind.CAMPAIGN)
    return keys[campaign_id].seal(TEMPLATE, text)


async def open_templates(vault: Vault, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Campaigns with their text as it was written."""
    found = [dict(row) for row in rows]
    keys = await vault.keys(row["id"] for row in found)
    return [{**row, "text": unseal(keys.get(row["id"]), TEMPLATE, row["text"]) or ""} for row in found]
