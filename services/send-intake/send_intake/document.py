"""One address, one OpenAPI document: our own paths, and those passed on as the services behind them describe them."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

Document = dict[str, Any]
SCHEMAS = b'"#/components/schemas/'


def merged(own: Document, others: Mapping[str, Document], passed_on: Callable[[str], bool]) -> Document:
    """`own` with what the `others` say of paths that are passed on; their schemas get the service's name in front."""
    paths, schemas = dict(own["paths"]), dict(own["components"]["schemas"])
    for service, document in others.items():
        theirs = _renamed(document, service)
        for path, operations in theirs["paths"].items():
            if passed_on(path):
                paths[path] = {**operations, **paths.get(path, {})}
        schemas |= {f"{service}{name}": schema for name, schema in theirs["components"]["schemas"].items()}
    return {**own, "paths": paths, "components": {**own["components"], "schemas": schemas}}


def _renamed(document: Document, service: str) -> Document:
    renamed: Document = orjson.loads(orjson.dumps(document).replace(SCHEMAS, SCHEMAS + service.encode()))
    return renamed
