"""`handsent schemas`: which events there are, and whether the repository's schemas are whole."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import fastavro

from schemas.codec import ROOT, SCHEMA_IDS, published_schema
from schemas.topics import TOPICS


@click.group()
def schemas() -> None:
    """The schemas of the events."""


@schemas.command("list")
def list_() -> None:
    """Id, topic, event and key of each schema."""
    for name, number in sorted(SCHEMA_IDS.items(), key=lambda item: item[1]):
        topic, _, event = name.partition("/")
        click.echo(f"{number:>4}  {topic:<11} {event:<22} {TOPICS[topic].key or '-'}")


@schemas.command()
def check() -> None:
    """Whether every schema parses and has its id. Exit code 1: not so."""
    found = {str(path.relative_to(ROOT).with_suffix("")): path for path in ROOT.rglob("*.avsc")}
    wrong = problems(found, SCHEMA_IDS)
    for line in wrong:
        click.echo(line, err=True)
    click.echo(f"{len(found)} schemas, {len(wrong)} problems", err=True)
    sys.exit(1 if wrong else 0)


def problems(found: dict[str, Path], ids: dict[str, int]) -> list[str]:
    """A line for each thing that is wrong with the schemas `found` by their names, and the ids given to names."""
    parsed = [line for name in sorted(found) for line in _parse(name)]
    unnumbered = [f"{name}: has no id in ids.json" for name in sorted(found.keys() - ids.keys())]
    return parsed + unnumbered + _gone(found, ids) + _shared(ids) + _uncatalogued(found)


def _parse(name: str) -> Iterable[str]:
    try:
        schema: Any = published_schema(name)
        fastavro.parse_schema(schema)
    except Exception as error:  # whatever is wrong with it is what the caller asked for
        yield f"{name}: {type(error).__name__}: {error}"
        return
    if schema["name"] != name.split("/")[1]:
        yield f"{name}: its record is called {schema['name']}"


def _gone(found: dict[str, Path], ids: dict[str, int]) -> list[str]:
    return [f"{name}: has an id, but no schema" for name in ids if name not in found]


def _shared(ids: dict[str, int]) -> list[str]:
    names: dict[int, list[str]] = {}
    for name, number in ids.items():
        names.setdefault(number, []).append(name)
    return [f"{' and '.join(both)}: share the id {number}" for number, both in names.items() if len(both) > 1]


def _uncatalogued(found: dict[str, Path]) -> list[str]:
    known = {f"{topic.name}/{event.__name__}" for topic in TOPICS.values() for event in topic.events}
    # "<topic>/<Event>/<version>" is a later version of "<topic>/<Event>".
    return [f"{name}: no topic carries it" for name in sorted(found) if "/".join(name.split("/")[:2]) not in known]
