"""How producers choose a partition by the key: three ways, so that `doctor` can say by which one a record came where it lies. Pure."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BITS_32 = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def murmur2(key: bytes, partitions: int) -> int:
    """Choose as Kafka itself does: the Java client, kafka-python, franz-go, librdkafka with `murmur2`."""
    return (_murmur2(key) & _POSITIVE) % partitions


def crc32(key: bytes, partitions: int) -> int:
    """Choose as librdkafka does by default, and so everything that is built on it."""
    return zlib.crc32(key) % partitions


def fnv1a(key: bytes, partitions: int) -> int:
    """Choose as Sarama does by default: a remainder with the sign of the hash, made positive."""
    value = 0x811C9DC5
    for byte in key:
        value = ((value ^ byte) * 0x01000193) & _BITS_32
    signed = value - (1 << 32) if value > _POSITIVE else value
    return abs(signed) % partitions


PARTITIONERS: dict[str, Callable[[bytes, int], int]] = {"murmur2": murmur2, "crc32": crc32, "fnv1a": fnv1a}


def _murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, with the seed of Kafka."""
    multiplier = 0x5BD1E995
    value = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * multiplier & _BITS_32
        word = (word ^ word >> 24) * multiplier & _BITS_32
        value = value * multiplier & _BITS_32 ^ word
    rest = data[whole:]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * multiplier & _BITS_32
    value = (value ^ value >> 13) * multiplier & _BITS_32
    return value ^ value >> 15
