"""Choices without state: the same seed and the same question give the same answer.

`random.Random` would make each event depend on how many were drawn before it. Here a choice is a
64-bit hash of the numbers that name it, so any part of a world can be made alone and big worlds
can be streamed. The hash multiplies the parts in (as FNV does) and ends with the finalizer of
splitmix64: far from cryptographic, but quick in plain Python, and a row needs some thirty choices.
"""

from collections.abc import Sequence
from typing import TypeVar

Choice = TypeVar("Choice")

_MASK = (1 << 64) - 1


def noise(*parts: int) -> int:
    """A number from 0 to 2^64 - 1 that depends on all parts and on their order."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ part) * 0xD1342543DE82EF95 & _MASK
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
    return state ^ (state >> 31)


def between(low: int, high: int, *parts: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return low + noise(*parts) % (high - low + 1)


def pick(choices: Sequence[Choice], *parts: int) -> Choice:
    """One of `choices`."""
    return choices[noise(*parts) % len(choices)]


def chance(percent: float, *parts: int) -> bool:
    """True for `percent` of all questions."""
    return noise(*parts) % 100_000 < percent * 1_000


def uuid_text(*parts: int, version: int = 4) -> str:
    """A UUID in its lower-case text form, variant 1 and the given version."""
    high, low = noise(*parts, 1), noise(*parts, 2)
    digits = f"{high:016x}{low:016x}"
    variant = "89ab"[low >> 62]
    return (
        f"{digits[:8]}-{digits[8:12]}-{version}{digits[13:16]}-"
        f"{variant}{digits[17:20]}-{digits[20:]}"
    )
