"""The front door's pages, as text: they need no script, and a reader of screens finds all that an eye does."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from kernel.tokens import Role, User

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d5dbe3; --paper: #fff; --ground: #f4f6f9;
  --act: #1f5fbf; --act-ink: #fff; --alarm: #a3271b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --soft: #a3adba; --line: #37414e; --paper: #1a2029;
  --ground: #12161c; --act: #7fb0ff; --act-ink: #0e1319; --alarm: #ff9c90; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 25rem; padding: 2rem; background: var(--paper); border: 1px solid var(--line);
  border-radius: .75rem; }
h1 { margin: 0 0 .25rem; font-size: 1.5rem; }
h2 { margin: 2rem 0 .5rem; padding-top: 1.5rem; border-top: 1px solid var(--line); font-size: 1rem; }
p { margin: 0 0 1rem; color: var(--soft); }
p.alert { color: var(--alarm); font-weight: 600; }
label { display: block; margin: .75rem 0 .25rem; font-weight: 600; }
input { width: 100%; padding: .6rem .7rem; border: 1px solid var(--soft); border-radius: .4rem; font: inherit;
  background: var(--paper); color: var(--ink); }
button, a.button { display: block; width: 100%; margin-top: 1rem; padding: .65rem 1rem; border: 0; border-radius: .4rem;
  background: var(--act); color: var(--act-ink); font: inherit; font-weight: 600; text-align: center;
  text-decoration: none; cursor: pointer; }
input:focus-visible, button:focus-visible, a:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 1rem 0; }
dt { color: var(--soft); }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
DOES = {
    Role.SENDER: "sends",
    Role.MANAGER: "sends, creates, imports and ends campaigns, keeps opt-outs",
    Role.AUDITOR: "reads everything, changes nothing",
}


def sign_in(alert: str = "", told: str = "", account: str = "", name: str = "", oidc: bool = False) -> str:
    """The page with the ways in. `alert`: what went wrong; `told`: what has been done."""
    return _page(
        "Sign in",
        f"""<h1>Handsent</h1>
<p>Every text is sent by a person’s hand.</p>
{_said(alert, "alert")}{_said(told, "status")}
{_OIDC if oidc else ""}
<form method="post" action="/sign-in" autocomplete="on">
<label for="account">Account</label>
<input id="account" name="account" value="{escape(account)}" required maxlength="100" autocomplete="organization">
<label for="name">Name</label>
<input id="name" name="name" value="{escape(name)}" required maxlength="100" autocomplete="username">
<label for="password">Password</label>
<input id="password" name="password" type="password" required maxlength="1024" autocomplete="current-password">
<button type="submit">Sign in</button>
</form>
<h2 id="by-token">Or with a token</h2>
<form method="post" action="/sign-in" autocomplete="off">
<label for="token">Token</label>
<input id="token" name="token" required maxlength="4096" autocomplete="off" autocapitalize="none" spellcheck="false">
<button type="submit">Sign in with the token</button>
</form>""",
    )


_OIDC = '<a class="button" href="/oidc/start">Sign in with your organisation</a>\n<h2>Or with a password</h2>'


def home(user: User) -> str:
    """Who is signed in."""
    return _page(
        "Signed in",
        f"""<h1>Handsent</h1>
<p>The pages people send from are not built yet. The API is under <code>/api/v1</code>, described at
<a href="/openapi.json">/openapi.json</a>.</p>
<dl>
<dt>Signed in as</dt><dd>{escape(user.name)}</dd>
<dt>Role</dt><dd>{escape(user.role)}: {escape(DOES[user.role])}</dd>
</dl>
<form method="post" action="/sign-out"><button type="submit">Sign out</button></form>""",
    )


def onwards() -> str:
    """Goes on to the front page by itself: a strict cookie is not sent along a way that began at another site."""
    return _page(
        "Signed in", '<h1>Signed in</h1>\n<p><a href="/">Go on</a></p>', '<meta http-equiv="refresh" content="0;url=/">'
    )


def _said(words: str, role: str) -> str:
    return f'<p class="{role}" role="{role}">{escape(words)}</p>\n' if words else ""


def _page(title: str, body: str, head: str = "") -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · Handsent</title>
{head}<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
