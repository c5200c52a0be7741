"""What of a job's name and payload the network may see: numbers and hashed words, never the text.

Pure. A word of a name or a value of the payload enters as the number of a bucket that thousands of words
share, so that neither can be read back out of a model. The same in every process. Called by
predictor.selectors for jobs that are submitted and for those that ran.
"""

from __future__ import annotations

import functools
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

BUCKETS = 1024
WORDS = 8  # most words of a job that count
SLOTS = 8  # sums that the numbers of a payload are spread over
MOST_VALUES = 64  # of a payload; what comes after them is not looked at
MOST_NODES = 1_000  # the same, with the lists and mappings around them, which may be empty
LONGEST_TEXT = 200  # characters of a value, and of the path to it, that count
LARGEST = 10**300  # JSON knows whole numbers that no float holds

_SPLIT = re.compile(r"[^A-Za-z0-9]+")
_SCALARS = (str, int, float, type(None))
_LISTS = (list, tuple)


class Traits(NamedTuple):
    """`words`: buckets of words of the name and of texts in the payload; `numbers`: (slot, signed log) pairs,
    summed; `volume`: the sum of the logs, which grows with what the job is asked to do; `size`: of the
    texts, in characters; `digest` tells payloads apart."""

    words: tuple[int, ...] = ()
    numbers: tuple[float, ...] = (0.0,) * SLOTS
    volume: float = 0.0
    size: int = 0
    digest: int = 0


NO_TRAITS = Traits()


def bucket(kind: str, value: object) -> int:
    return zlib.crc32(f"{kind}\0{value}".encode("utf-8", "replace")) % BUCKETS


def traits_of(name: str, payload: Mapping[str, Any]) -> Traits:
    words = list(_words(name))
    numbers, volume, size, digest = [0.0] * SLOTS, 0.0, 0, 0
    for path, value in _values(payload, MOST_VALUES):
        number = zlib.crc32(f"{path}\0{value}".encode("utf-8", "replace"))
        digest = (digest * 31 + number) & 0xFFFFFFFF
        if isinstance(value, str):
            size += len(value)
        elif not isinstance(value, bool) and value is not None and math.isfinite(value):
            scale = math.copysign(math.log1p(min(abs(value), 1e18)), value)
            numbers[_slot(path)] += scale
            volume += abs(scale)
        words.append(number % BUCKETS)
    return Traits(tuple(words[:WORDS]), tuple(numbers), volume, size, digest)


@functools.lru_cache(maxsize=4096)
def _words(name: str) -> tuple[int, ...]:
    return tuple(bucket("word", word) for word in _SPLIT.split(name) if word)[: WORDS - 2]


@functools.lru_cache(maxsize=4096)
def _slot(path: str) -> int:
    return zlib.crc32(path.encode("utf-8", "replace")) % SLOTS


def _values(node: Any, left: int, path: str = "") -> Iterator[tuple[str, Any]]:
    """Paths and scalar values of a payload, the first `left` of them in the order of their keys."""
    stack: list[tuple[str, Any]] = [(path, node)]
    for _ in range(MOST_NODES):
        if not stack or not left:
            return
        where, value = stack.pop()
        if isinstance(value, _SCALARS):
            left -= 1
            yield where, _bounded(value)
        elif isinstance(value, Mapping):
            keys = sorted(value, key=str)[:left]
            stack += [(f"{where}.{key}"[:LONGEST_TEXT], value[key]) for key in reversed(keys)]
        elif isinstance(value, _LISTS):
            within = f"{where}[]"[:LONGEST_TEXT]
            stack += [(within, entry) for entry in reversed(value[:left])]
        else:
            left -= 1
            yield where, value


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    return max(-LARGEST, min(value, LARGEST)) if isinstance(value, int) else value
