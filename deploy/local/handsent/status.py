"""`handsent status`: what runs, where, how far behind it is, and what stands still."""

import json
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

from handsent.parts import SERVICES
from handsent.stack import PartState, Stack, current_stack, without_password

PATIENCE_S = 5.0
COLUMNS = ("name", "state", "pid", "port", "restarts", "lag")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def status(as_json: bool) -> None:
    """What runs, and what does not. Exit code 0: all well, 1: something is not, 2: there is no stack."""
    about = describe(current_stack())
    click.echo(json.dumps(about, indent=2) if as_json else table(about))
    sys.exit(0 if about["ok"] else 1)


def describe(stack: Stack) -> dict[str, Any]:
    """The JSON that `handsent status --json` prints."""
    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(lambda part: _row(stack, part), stack.parts or _named(stack)))
    stuck = [{"part": part["name"], **_as_dict(what)} for part in parts for what in part["stuck"]]
    return {
        "ok": not stuck and all(part["state"] == "running" for part in parts),
        "home": str(stack.home),
        "pid": stack.pid,
        "kafka_bootstrap": stack.settings.get("KAFKA_BOOTSTRAP"),
        "database": without_password(stack.settings.get("DATABASE_URL", "")),
        "urls": stack.urls,
        "parts": [{name: value for name, value in part.items() if name != "carriers"} for part in parts],
        "stuck": stuck,
        "carriers": [carrier for part in parts for carrier in part["carriers"]],
    }


def _named(stack: Stack) -> list[PartState]:
    """The services of a stack that only the settings name: whoever answers runs."""
    services = [service for service in SERVICES if service.probe == "/readyz"]
    return [PartState(service.name, None, int(stack.setting(service.port_setting)), "") for service in services]


def _row(stack: Stack, part: PartState) -> dict[str, Any]:
    answer = _ask(stack, part)
    state = part.state or ("stopped" if "silent" in answer else "running")
    stuck = list(answer.get("stuck", []))
    if state == "running" and "silent" in answer:
        stuck.append({"reason": answer["silent"]})
    return {
        "name": part.name,
        "state": state,
        "pid": part.pid,
        "port": part.port,
        "restarts": part.restarts,
        "lag": answer.get("lag"),
        "stuck": stuck,
        "carriers": _carriers(answer),
    }


def _carriers(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """How each provider and sender is pressed, and what waits beside its turn: the dispatcher's words."""
    aside = answer.get("aside")
    return [*answer.get("carriers", []), *([{"aside": aside}] if aside else [])]


def _ask(stack: Stack, part: PartState) -> dict[str, Any]:
    """The service's own words; {} for a part that has no /status, {"silent": why} for one that should answer."""
    setting = next((one.port_setting for one in SERVICES if one.name == part.name), "").replace("_PORT", "_URL")
    if setting not in stack.settings or part.name == "simulator":
        return {}
    try:
        with urllib.request.urlopen(f"{stack.settings[setting]}/status", timeout=PATIENCE_S) as response:
            answer = json.load(response)
            return answer if isinstance(answer, dict) else {}
    except urllib.error.HTTPError as error:
        return {} if error.code == 404 else {"silent": f"/status answers {error.code}"}
    except (OSError, ValueError) as error:
        return {"silent": f"/status does not answer: {error}"}


def _as_dict(what: Any) -> dict[str, Any]:
    return what if isinstance(what, dict) else {"reason": str(what)}


def table(about: dict[str, Any]) -> str:
    """The same for a person."""
    rows = [COLUMNS, *([_cell(part[column]) for column in COLUMNS] for part in about["parts"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", f"kafka     {about['kafka_bootstrap'] or '-'}", f"database  {about['database'] or '-'}"]
    lines += [f"home      {about['home']}" + (f" (pid {about['pid']})" if about["pid"] else "")]
    lines += filter(None, map(_carrier, about.get("carriers", [])))
    for what in about["stuck"]:
        details = ", ".join(f"{name} {value}" for name, value in what.items() if name != "part")
        lines.append(f"stuck     {what['part']}: {details}")
    return "\n".join(lines)


def _carrier(about: dict[str, Any]) -> str:
    """A line about a provider, a sender that is in trouble, or what is put aside; empty for one that is well."""
    if "aside" in about:
        return "aside     " + ", ".join(f"{why} {count}" for why, count in sorted(about["aside"].items()))
    troubles = [f"breaker {about['breaker']}"] if about["breaker"] != "closed" else []
    if about["resumes_in_s"]:
        troubles.append(f"rests {about['resumes_in_s']} s")
    troubles += [f"unknown: {reason} {count}" for reason, count in sorted(about["unknown"].items())]
    if about["sender"] and not troubles:
        return ""
    said = ", ".join([f"{about['in_use']} under way", *troubles])
    return f"carrier   {about['provider']}{' ' + about['sender'] if about['sender'] else ''}: {said}"


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)
