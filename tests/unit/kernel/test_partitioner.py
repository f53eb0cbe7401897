"""Our partitions are Kafka's own: a reader may compute where a key is."""

from aiokafka.partitioner import DefaultPartitioner, murmur2
from hypothesis import given
from hypothesis import strategies as st
from kernel.partitioner import partitions_of

uuid_keys = st.uuids().map(lambda each: str(each).encode())
JAVA = {  # from Kafka's own tests of Utils.murmur2
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def aiokafka_s(key: bytes | None, count: int) -> int:
    return 0 if key is None else int(DefaultPartitioner()(key, list(range(count)), list(range(count))))


@given(st.lists(uuid_keys, max_size=40), st.integers(1, 64))
def test_uuids_go_where_kafka_puts_them(keys: list[bytes], count: int) -> None:
    assert partitions_of(keys, count) == [aiokafka_s(key, count) for key in keys]


@given(st.lists(st.none() | st.binary(min_size=1, max_size=50) | uuid_keys, max_size=40), st.integers(1, 64))
def test_keys_of_any_length_go_where_kafka_puts_them_and_none_to_the_first(
    keys: list[bytes | None], count: int
) -> None:
    assert partitions_of(keys, count) == [aiokafka_s(key, count) for key in keys]


@given(st.lists(st.binary(min_size=36, max_size=36), min_size=9, max_size=40), st.integers(1, 64))
def test_any_36_bytes_will_do(keys: list[bytes], count: int) -> None:
    assert partitions_of(keys, count) == [aiokafka_s(key, count) for key in keys]


def test_the_yardstick_is_java_s() -> None:
    for key, hashed in JAVA.items():
        assert murmur2(key) & 0xFFFFFFFF == hashed & 0xFFFFFFFF
