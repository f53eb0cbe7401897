"""Who may call what is declared beside each route, and the README says the same in one table."""

import re
from collections import Counter

import pytest

from tests.contract.routes import Route, apis, document, routes
from tests.tidy.tree import ROOT, table

README = ROOT / "README.md"
BLOCK = re.compile(r"<!-- roles -->\n(.*)<!-- /roles -->", re.DOTALL)
PAGES = re.compile(r"<!-- pages -->\n(.*)<!-- /pages -->", re.DOTALL)
ROLES = ("sender", "manager", "auditor")
ROUTES = routes()
ANSWERED = [route for route in ROUTES if not route.passed_on]
PROBES = {"/healthz", "/readyz", "/status", "/metrics", "/openapi.json"}


@pytest.mark.parametrize("route", ANSWERED, ids=[f"{r.service} {r.call}" for r in ANSWERED])
def test_every_route_names_its_roles_or_says_why_it_is_open(route: Route) -> None:
    assert bool(route.roles) != bool(route.open), "needs(…) or opens(…), one of them"
    assert set(route.roles) <= set(ROLES)


def test_whatever_is_under_the_api_is_in_the_document() -> None:
    assert [route.call for route in ANSWERED if route.path.startswith(("/api/", "/webhooks/")) and not route.told] == []


def test_what_is_passed_on_is_answered_by_another_service() -> None:
    answered = {_shape(route.path) for route in ANSWERED if route.service != "send-intake"}
    passed_on = {_shape(route.path) for route in ROUTES if route.passed_on and "{rest}" not in route.path}
    assert passed_on - answered == set()


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_no_call_is_answered_in_two_places() -> None:
    of_each = {*PROBES, "/api/v1/persons/{person_id}"}  # each service says what it holds of a person
    calls = Counter(route.call for route in ANSWERED if route.path not in of_each)
    assert [call for call, count in calls.items() if count > 1] == []


def expected() -> str:
    """The table: every call under its service, a column for each role."""
    rows = ["| call | answered by | sender | manager | auditor | open to all, because |", "|---|---|---|---|---|---|"]
    calls = [route for route in ANSWERED if not route.people]
    shown = sorted({(r.path, r.method, "each" if r.path in PROBES else r.service, r.roles, r.open) for r in calls})
    for path, method, service, roles, why in shown:
        marks = " | ".join("yes" if role in roles else "" for role in ROLES)
        rows.append(f"| `{method} {path.removeprefix('/api/v1')}` | {service} | {marks} | {why} |")
    return "\n".join([*rows, ""])


def test_the_readme_s_table_of_roles_is_the_code_s() -> None:
    found = BLOCK.search(README.read_text())
    assert found, "the README has no <!-- roles --> … <!-- /roles -->"
    assert found[1] == expected(), f"the README's table should be:\n\n{expected()}"
    assert len(table(found[1])) > 30


def test_the_readme_s_table_of_pages_is_the_code_s() -> None:
    rows = ["| page | sender | manager | auditor |", "|---|---|---|---|"]
    for route in sorted(ANSWERED, key=lambda route: (route.path, route.method)):
        if route.people:
            marks = " | ".join("yes" if role in route.people else "" for role in ROLES)
            rows.append(f"| `{route.method} {route.path}` | {marks} |")
    expected = "\n".join([*rows, ""])
    found = PAGES.search(README.read_text())
    assert found and found[1] == expected, f"between <!-- pages --> and <!-- /pages --> should be:\n\n{expected}"


@pytest.mark.parametrize("service", apis())
def test_every_operation_tells_every_refusal_of_its_kind(service: str) -> None:
    for path, operations in document(apis()[service])["paths"].items():
        for method, operation in operations.items():
            told = {int(status) for status in operation["responses"]}
            assert {400, 415, 503} <= told, (path, method)
            assert not operation.get("x-roles") or {401, 403} <= told, (path, method)
            for status, about in operation["responses"].items():
                if int(status) >= 400:
                    assert list(about["content"]) == ["application/problem+json"], (path, method, status)
                elif int(status) != 204:
                    [content] = about["content"].values()
                    assert content["schema"], (path, method, status)
