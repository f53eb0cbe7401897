"""What reached us before anybody knew whose it is: sealed with a key of the service's own."""

from kernel.seal import CALLBACK, Key, unseal
from kernel.vault import NOBODY, Kind, Vault

from schemas.identity import uuid5

SERVICE_SUBJECT = uuid5(NOBODY, "dispatcher")


async def service_key(vault: Vault) -> dict[str, Key]:
    """The service's key, under SERVICE_SUBJECT."""
    return await vault.keys_for({SERVICE_SUBJECT: NOBODY}, Kind.SERVICE)


async def seal_forms(vault: Vault, forms: list[bytes]) -> list[bytes]:
    """Raw callbacks as they are stored. Their bytes are UTF-8: what is not is refused before."""
    key = (await service_key(vault))[SERVICE_SUBJECT]
    return [key.seal(CALLBACK, form.decode()).encode() for form in forms]


def open_form(key: Key, form: bytes) -> str | None:
    """A raw callback as it came."""
    return unseal(key, CALLBACK, form.decode())
