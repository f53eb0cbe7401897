"""Requests made up from a service's own OpenAPI document, and what must be true of every answer."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

# Left out, of what the library checks by itself:
# - positive_data_acceptance: a schema cannot say that a time is in the future, a number valid, a campaign not ended;
# - negative_data_rejection: where the schema says `string` for a header or a query, whatever is sent is one;
# - use_after_free, ensure_resource_availability: they follow links between operations, of which we declare none;
# - ignored_auth: `test_walls` asks every route with every kind of bad token.
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.missing_required_header,
    checks.unsupported_method,
]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
ANSWER_S = 30.0
AT_ONCE = 16
NOT_ASKED = {"DELETE /api/v1/sessions/current"}  # it would end the token that all the others are asked with


class Fuzzer:
    """Fuzzes every operation of one document as one caller."""

    def __init__(self, base: str, token: str, ids: dict[str, str]) -> None:
        """`ids` are real ones: nine in ten requests are about something that is there."""
        self._base, self._token, self._ids = base, token, ids
        self.answers: Counter[int] = Counter()
        self.document = requests.get(f"{base}/openapi.json", timeout=ANSWER_S).json()

    def operations(self) -> list[Any]:
        """As the document says them now."""
        schema = schemathesis.openapi.from_dict(self.document)
        schema.config.update(base_url=self._base)
        found = [result.ok() for result in schema.get_all_operations()]
        return [operation for operation in found if operation.label not in NOT_ASKED]

    def run(self, cases: int, of_seed: int) -> list[str]:
        """What is wrong, with the requests to repeat; `cases` for the whole document."""
        operations = self.operations()
        each = max(cases // len(operations), 1)
        made = [case for operation in operations for case in self._made(operation, each, of_seed)]
        # Several at a time: an id that projections does not know yet takes it 2 s of waiting for news.
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return sorted(set(filter(None, pool.map(self._wrong, made))))

    def _made(self, operation: Any, count: int, of_seed: int) -> list[Any]:
        """Cases as the document allows them, and as it does not."""
        strategies = [operation.as_strategy(generation_mode=mode) for mode in MODES if _has(operation, mode)]
        made: list[Any] = []

        @seed(of_seed)
        @settings(max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=st.one_of(*strategies), chance=st.integers(0, 9))
        def make(case: Any, chance: int) -> None:
            if chance and isinstance(case.path_parameters, dict):
                case.path_parameters.update({k: v for k, v in self._ids.items() if k in case.path_parameters})
            made.append(case)

        make()
        return made

    def _wrong(self, case: Any) -> str:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            with _Http() as http:
                answer = case.call(session=http, headers=headers, timeout=ANSWER_S)
            self.answers[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS, headers=headers)
        except (Failure, FailureGroup, requests.RequestException) as found:
            return f"{case.operation.label}: {found}"
        return ""


def _has(operation: Any, mode: GenerationMode) -> bool:
    """Nothing can be wrong with a request that has no parameters and no body."""
    return mode is GenerationMode.POSITIVE or any(operation.iter_parameters()) or bool(operation.body)


class _Http(requests.Session):
    """Reads a stream of events up to its first one: it would go on for ever."""

    def send(self, request: Any, **kwargs: Any) -> requests.Response:
        answer = super().send(request, **{**kwargs, "stream": True})
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer._content = next(answer.iter_content(64 * 1024), b"")
            answer.close()
        return answer
