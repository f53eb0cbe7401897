"""The front door: says what answers here until the pages people send from are built."""

from fastapi import APIRouter, Request, Response
from kernel.openapi import opens
from kernel.web import Direct

router = APIRouter(route_class=Direct, include_in_schema=False)

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Handsent</title>
<h1>Handsent</h1>
<p>Peer-to-peer texting. This address serves the API under <code>/api/v1</code>, described at
<a href="/openapi.json">/openapi.json</a>; sign in with <code>Authorization: Bearer</code> and the token that
<code>handsent user add</code> prints. The pages people send from are not built yet.</p>
</html>
"""


async def _front(request: Request) -> Response:
    return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": "default-src 'none'"})


router.add_api_route("/", _front, methods=["GET"], openapi_extra=opens("says what this address is"))
