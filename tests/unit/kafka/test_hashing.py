"""Three ways to choose a partition by the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikebridge.kafka.hashing import PARTITIONERS, crc32, fnv1a, murmur2

WHOLE = 1 << 31


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_that_of_kafka_itself(key: bytes, signed: int) -> None:
    """The values that Kafka's own tests expect; the sign is dropped."""
    assert murmur2(key, WHOLE) == signed & 0x7FFFFFFF


def test_crc32_and_fnv1a_are_those_of_their_definitions() -> None:
    """The check value of CRC-32, and one of FNV-1a's own, with the sign of 32 bits taken off."""
    assert crc32(b"123456789", 1 << 32) == 0xCBF43926
    assert fnv1a(b"foobar", WHOLE) == (1 << 32) - 0xBF9CF968


@given(st.binary(max_size=40), st.integers(1, 1_000))
def test_every_way_ends_in_a_partition(key: bytes, partitions: int) -> None:
    """Whatever the key."""
    assert all(0 <= choose(key, partitions) < partitions for choose in PARTITIONERS.values())
