"""The OpenID Connect issuer: who somebody is there. Any issuer will do; it is found by its URL.

People come by the authorization code flow with PKCE, services with a token the issuer gave them. Either way it is the
issuer's signature that counts, made with an asymmetric algorithm and one of the keys it publishes.
"""

import asyncio
import time
import warnings
from typing import Any, NamedTuple, Self

import httpx
import jwt
import structlog
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
from authlib.common.security import generate_token  # type: ignore[import-untyped]

from send_intake.settings import Settings

with warnings.catch_warnings(record=True):  # it says on stderr that a successor of httpx exists; our log is JSON
    from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

log = structlog.get_logger()

# Never a symmetric one: the key to check would be the key to sign, and the keys are public.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
TYPES = {None, "jwt", "at+jwt", "application/at+jwt"}  # and not, say, a logout token
LEEWAY_S = 10
TIMEOUT_S = 5.0
KEYS_LIFE_S = 600.0  # a key that the issuer withdrew is believed for no longer
KEYS_REST_S = 5.0  # unknown key ids make us ask again, but no more often than this
MOST_BYTES = 1024 * 1024


class BadIdentity(Exception):
    """The issuer does not vouch for this."""


class IssuerAway(Exception):
    """The issuer does not answer as it should."""


class Started(NamedTuple):
    """What must be remembered between the start of a sign-in and its end."""

    state: str
    nonce: str
    verifier: str


class OidcIssuer:
    """What we ask of the issuer."""

    def __init__(self, url: str, client_id: str, client_secret: str = "", audience: str = "") -> None:
        self._url, self._client_id, self._client_secret = url.rstrip("/"), client_id, client_secret
        self._audiences = [audience, client_id] if audience else [client_id]
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        self._metadata: dict[str, Any] = {}
        self._keys: list[jwt.PyJWK] = []
        self._keys_at = float("-inf")
        self._lock = asyncio.Lock()

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The one the settings name, if they do."""
        if not settings.oidc_issuer:
            return None
        return cls(settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret, settings.oidc_audience)

    async def close(self) -> None:
        await self._http.aclose()

    # --- people ----------------------------------------------------------------------------------------------

    async def start(self, redirect_uri: str) -> tuple[str, Started]:
        """Where to send the person's browser, and what to remember until it comes back. Raises IssuerAway."""
        metadata = await self._discovered()
        nonce, verifier = generate_token(32), generate_token(64)
        async with self._client(redirect_uri) as client:
            url, state = client.create_authorization_url(
                metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
            )
        return url, Started(state, nonce, verifier)

    async def finish(self, redirect_uri: str, started: Started, answered: str) -> str:
        """The subject of the person who came back to the URL `answered`. Raises BadIdentity, IssuerAway."""
        metadata = await self._discovered()
        try:
            async with self._client(redirect_uri) as client:
                tokens = await client.fetch_token(
                    metadata["token_endpoint"],
                    authorization_response=answered,
                    state=started.state,
                    code_verifier=started.verifier,
                )
        except AuthlibBaseError as error:
            raise BadIdentity(str(error.error)) from None
        except (httpx.HTTPError, ValueError) as error:
            raise IssuerAway(type(error).__name__) from None
        claims = await self._claims(str(tokens.get("id_token", "")), [self._client_id])
        if claims.get("nonce") != started.nonce or claims.get("azp", self._client_id) != self._client_id:
            raise BadIdentity("another sign-in's token, or another client's")
        return str(claims["sub"])

    def _client(self, redirect_uri: str) -> Any:
        secret = self._client_secret or None
        return AsyncOAuth2Client(
            self._client_id,
            secret,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            scope="openid",
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    # --- services --------------------------------------------------------------------------------------------

    async def subject_of(self, token: str) -> str:
        """The subject of a JWT that the issuer gave somebody for us. Raises BadIdentity, IssuerAway."""
        return str((await self._claims(token, self._audiences))["sub"])

    async def _claims(self, token: str, audiences: list[str]) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            kind = header.get("typ")
            if header.get("alg") not in ALGORITHMS or (kind and str(kind).lower()) not in TYPES:
                raise BadIdentity("not a token of the kinds we take")
            claims: dict[str, Any] = jwt.decode(
                token,
                (await self._key(header.get("kid"))).key,
                algorithms=ALGORITHMS,
                audience=audiences,
                issuer=(await self._discovered())["issuer"],
                leeway=LEEWAY_S,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise BadIdentity(type(error).__name__) from None
        return claims

    # --- what the issuer publishes ---------------------------------------------------------------------------

    async def _discovered(self) -> dict[str, Any]:
        if not self._metadata:
            found = await self._get(f"{self._url}/.well-known/openid-configuration")
            if str(found.get("issuer", "")).rstrip("/") != self._url:
                raise IssuerAway("it calls itself by another URL")
            self._metadata = found
        return self._metadata

    async def _key(self, key_id: str | None) -> jwt.PyJWK:
        async with self._lock:
            found = None if self._age() > KEYS_LIFE_S else self._known(key_id)
            if found is None and self._age() > KEYS_REST_S:
                content = await self._get((await self._discovered())["jwks_uri"])
                self._keys, self._keys_at = _usable(content), time.monotonic()
                found = self._known(key_id)
        if found is None:
            raise BadIdentity("signed with a key the issuer does not publish")
        return found

    def _age(self) -> float:
        return time.monotonic() - self._keys_at

    def _known(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of that id; a token without an id can only mean the only key."""
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == key_id), None)

    async def _get(self, url: str) -> dict[str, Any]:
        try:
            answer = await self._http.get(url)
            answer.raise_for_status()
            found = answer.json() if len(answer.content) <= MOST_BYTES else None
        except (httpx.HTTPError, ValueError) as error:
            log.warning("issuer_away", error=type(error).__name__)
            raise IssuerAway(type(error).__name__) from None
        if not isinstance(found, dict):
            raise IssuerAway("its answer is no JSON object")
        return found


def _usable(content: dict[str, Any]) -> list[jwt.PyJWK]:
    """The keys that sign with one of our algorithms; an issuer may publish others beside them."""
    keys = []
    for each in content.get("keys", []):
        try:
            key = jwt.PyJWK.from_dict(each)
        except (jwt.PyJWTError, AttributeError, TypeError):
            continue
        if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig"):
            keys.append(key)
    return keys
