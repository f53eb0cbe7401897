"""The tries at passwords, counted in Postgres, so that several instances count together."""

import hmac
from datetime import timedelta

from kernel.database import Pool

from send_intake.store_users import access
from send_intake.throttle import PER_ADDRESS, PER_NAME, Wait, spend


class Tries:
    """What a name and an address have tried; both are kept as keyed hashes."""

    def __init__(self, pool: Pool, secret: str) -> None:
        self._pool, self._secret = pool, secret.encode()

    async def spend(self, account: str, name: str, address: str) -> timedelta | None:
        """Counts a try, of the name and of the address, or of neither: then how long to wait."""
        limits = {self._name(account, name): PER_NAME, self._address(address): PER_ADDRESS}
        subjects = sorted(limits)
        await self._pool.execute(access.forget_tries)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(access.open_tries, subjects)
            rows = await connection.fetch(access.lock_tries, subjects)
            spent = {row["subject"]: spend(row["spent_until"], row["now"], limits[row["subject"]]) for row in rows}
            waits = [each.time for each in spent.values() if isinstance(each, Wait)]
            if waits:
                return max(waits)
            await connection.execute(access.spend_tries, list(spent), list(spent.values()))
        return None

    async def forgive(self, account: str, name: str, address: str) -> None:
        """It was the right password: the name has no failures any more, the address one try less."""
        await self._pool.execute(access.forgive_name, self._name(account, name))
        await self._pool.execute(access.forgive_address, self._address(address), PER_ADDRESS.every)

    def _name(self, account: str, name: str) -> bytes:
        return hmac.digest(self._secret, f"name\0{account}\0{name}".encode(), "sha256")

    def _address(self, address: str) -> bytes:
        return hmac.digest(self._secret, f"address\0{address}".encode(), "sha256")
