"""The tries at passwords, counted in Postgres, so that several instances count together."""

import hmac
from datetime import timedelta

from kernel.database import Pool

from send_intake.store import access
from send_intake.throttle import PER_ADDRESS, PER_NAME, PER_NAME_ANYWHERE, Wait, spend


class Tries:
    """What a name and an address have tried; both are kept as keyed hashes."""

    def __init__(self, pool: Pool, secret: str) -> None:
        self._pool, self._secret = pool, secret.encode()

    async def spend(self, account: str, name: str, address: str) -> timedelta | None:
        """Counts a try, of the name there and anywhere and of the address; or says how long to wait, and counts it of
        the address alone: whoever goes on regardless uses it up."""
        limits = {
            self._name(account, name, address): PER_NAME,
            self._name_anywhere(account, name): PER_NAME_ANYWHERE,
            self._address(address): PER_ADDRESS,
        }
        subjects = sorted(limits)
        await self._pool.execute(access.forget_tries)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(access.open_tries, subjects)
            rows = await connection.fetch(access.lock_tries, subjects)
            spent = {row["subject"]: spend(row["spent_until"], row["now"], limits[row["subject"]]) for row in rows}
            waits = [each.time for each in spent.values() if isinstance(each, Wait)]
            if waits:
                spent = {s: until for s, until in spent.items() if s == self._address(address)}
            paid = {s: until for s, until in spent.items() if not isinstance(until, Wait)}
            await connection.execute(access.spend_tries, list(paid), list(paid.values()))
        return max(waits, default=None)

    async def forgive(self, account: str, name: str, address: str) -> None:
        """It was the right password: the name has no failures any more, the address one try less."""
        await self._pool.execute(access.forgive_name, self._name(account, name, address))
        await self._pool.execute(access.forgive_name, self._name_anywhere(account, name))
        await self._pool.execute(access.forgive_address, self._address(address), PER_ADDRESS.every)

    def _name(self, account: str, name: str, address: str) -> bytes:
        return hmac.digest(self._secret, f"name\0{account}\0{name}\0{address}".encode(), "sha256")

    def _name_anywhere(self, account: str, name: str) -> bytes:
        return hmac.digest(self._secret, f"anywhere\0{account}\0{name}".encode(), "sha256")

    def _address(self, address: str) -> bytes:
        return hmac.digest(self._secret, f"address\0{address}".encode(), "sha256")
