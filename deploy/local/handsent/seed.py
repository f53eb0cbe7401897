"""The demo account's first campaign: one recipient for each thing that can become of a text."""

from datetime import timedelta

import aiohttp
from kernel import database
from kernel.tokens import Role
from send_intake.store_tokens import Kind, make
from send_intake.store_users import add_user

ACCOUNT, USER, SCHEMA = "demo", "demo", "send_intake"
NAME = "Town meeting"
TEXT = "Hi {first_name}, will you come to the town meeting on Tuesday? Reply STOP to end."
TOKEN_LIFE = timedelta(minutes=5)
PHONES = [f"+1212457{habit:04d}" for habit in range(1, 20)] + [f"+1212456{n}" for n in range(2000, 2006)]
NAMES = ("Ada", "Ben", "Chloé", "Dan", "Eva", "Finn", "Gül", "Hugo", "Ines", "José")


async def seed(database_url: str, token_key: str, intake_url: str) -> bool:
    """Makes the campaign unless the account has one already; whether it did."""
    connection = await database.connect(database_url, SCHEMA)
    try:
        user = (await add_user(connection, ACCOUNT, USER, Role.MANAGER)).user
        token = (await make(connection, token_key, user, Kind.TOKEN, "the demo's first campaign", TOKEN_LIFE)).token
    finally:
        await connection.close()
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(f"{intake_url}/api/v1/", headers=headers, raise_for_status=True) as session:
        async with session.get("campaigns") as answer:
            if (await answer.json())["campaigns"]:
                return False
        async with session.post("campaigns", json={"name": NAME, "text": TEXT}) as answer:
            campaign_id = (await answer.json())["campaign_id"]
        rows = "".join(f"{NAMES[n % len(NAMES)]},{phone}\n" for n, phone in enumerate(PHONES))
        async with session.post(f"campaigns/{campaign_id}/recipients", data=f"first_name,phone\n{rows}".encode()):
            return True
