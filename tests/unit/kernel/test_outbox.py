"""Rows of the outbox: what is packed comes out the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel.outbox import Outbox, pack, unpack
from kernel.testing import clock, created, processed

from schemas.codec import decode, key_of

keys = st.none() | st.binary(min_size=1, max_size=100)


@given(st.lists(st.tuples(keys, st.binary(max_size=500))))
def test_any_records_come_out_as_they_went_in(records: list[tuple[bytes | None, bytes]]) -> None:
    assert list(unpack(pack(records))) == records


def test_a_blob_that_was_cut_short_is_no_shorter_list() -> None:
    with pytest.raises(Exception):  # noqa: B017  (whatever tells it, it is not silence)
        list(unpack(pack([(b"key", b"value")])[:3]))


async def test_an_outbox_keeps_the_order_within_a_topic_and_writes_one_row_for_each() -> None:
    rows: list[tuple[str, bytes]] = []

    class Connection:
        async def execute(self, _: str, topic: str, events: bytes) -> None:
            rows.append((topic, events))

    events = [processed(1), created(), processed(2), clock(created().occurred_at, {})]
    outbox = Outbox()
    assert not outbox
    outbox.extend(events)
    assert outbox
    await outbox.write(Connection())  # type: ignore[arg-type]
    assert not outbox, "a second write adds nothing"
    found = {topic: [(key, decode(value)) for key, value in unpack(blob)] for topic, blob in rows}
    assert found["processed"] == [(key_of(events[0]), events[0]), (key_of(events[2]), events[2])]
    assert [key for key, _ in found["clock"]] == [None]
    assert len(rows) == 3


def test_an_event_that_does_not_fit_its_schema_fails_at_once() -> None:
    wrong = processed(1)
    object.__setattr__(wrong, "text", None)
    with pytest.raises((TypeError, ValueError)):
        Outbox().add(wrong)
