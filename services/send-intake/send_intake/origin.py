"""Whether a request comes from our own pages: what a browser says about it, which no page of another's can change."""

from urllib.parse import urlsplit

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_ours(fetch_site: str | None, origin: str | None, host: str) -> bool | None:
    """From `Sec-Fetch-Site`, else from `Origin` and `Host`; None when there is neither, as from no browser of today."""
    if fetch_site is not None:
        return fetch_site == "same-origin"
    if origin is not None:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    return None


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Who asks: the peer, or what the outermost of our own proxies saw. What comes before it anybody can write."""
    seen = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    if trusted_proxies == 0 or len(seen) < trusted_proxies:
        return peer
    return seen[-trusted_proxies]
