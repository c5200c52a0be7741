from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from predictor.traits import (
    BUCKETS,
    LARGEST,
    LONGEST_TEXT,
    MOST_VALUES,
    NO_TRAITS,
    SLOTS,
    WORDS,
    Traits,
    bucket,
    traits_of,
)

PAYLOAD: Mapping[str, Any] = {
    "url": "https://example.org/größe",
    "rows": 12_000,
    "nested": {"deep": [1.5, True, None, "x"]},
}


def nested(depth: int, key: str = "a") -> dict[str, Any]:
    node: dict[str, Any] = {"bottom": 7}
    for _ in range(depth):
        node = {key: node}
    return node


def bounded(traits: Traits) -> bool:
    return (
        len(traits.words) <= WORDS
        and all(0 <= word < BUCKETS for word in traits.words)
        and len(traits.numbers) == SLOTS
        and all(math.isfinite(number) for number in (*traits.numbers, traits.volume))
        and 0 <= traits.size <= MOST_VALUES * LONGEST_TEXT
        and 0 <= traits.digest < 2**32
    )


def test_nothing_is_asked_of_an_empty_job() -> None:
    assert traits_of("", {}) == NO_TRAITS


def test_the_same_in_every_process() -> None:
    script = f"from predictor.traits import traits_of; print(traits_of('nightly-größe', {dict(PAYLOAD)!r}))"
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1", "2")
    }
    assert said == {str(traits_of("nightly-größe", PAYLOAD))}


def test_buckets_stay_what_they_are() -> None:
    """Weights that were stored depend on them."""
    assert [bucket("word", "nightly"), bucket("type", (1, "etl")), bucket("org", 1)] == [451, 180, 521]


def test_no_text_is_kept() -> None:
    secret = "correct-horse-battery-staple"
    traits = traits_of(secret, {secret: secret, "list": [secret]})
    assert secret.encode() not in pickle.dumps(traits)
    assert all(isinstance(value, int) for value in (*traits.words, traits.size, traits.digest))
    assert all(isinstance(value, float) for value in (*traits.numbers, traits.volume))


def test_a_name_is_read_by_its_words() -> None:
    names = ["report_daily/2024", "report-daily 2024", "report.daily.2024"]
    assert len({traits_of(name, {}).words for name in names}) == 1
    assert set(traits_of("daily", {}).words) < set(traits_of(names[0], {}).words)


def test_a_long_name_leaves_room_for_the_payload() -> None:
    alone = traits_of("a b c d e f g h i j", {}).words
    together = traits_of("a b c d e f g h i j", {"x": "y", "z": "w", "v": "u"}).words
    assert len(alone) == WORDS - 2
    assert together[: len(alone)] == alone
    assert len(together) == WORDS


def test_payloads_are_told_apart_by_values_and_by_places() -> None:
    payloads: list[dict[str, Any]] = [
        {"a": 1},
        {"a": 2},
        {"b": 1},
        {"a": "1x"},
        {"a": [1]},
        {"a": {"a": 1}},
        {},
    ]
    assert len({traits_of("x", payload).digest for payload in payloads}) == len(payloads)


def test_the_order_of_keys_does_not_matter() -> None:
    assert traits_of("x", {"a": 1, "b": "y"}) == traits_of("x", {"b": "y", "a": 1})


def test_volume_grows_with_what_is_asked() -> None:
    volumes = [traits_of("x", {"rows": rows}).volume for rows in (0, 1, 50, 50_000, 10**30, 10**60)]
    assert volumes == sorted(volumes)
    assert volumes[:2] == [0, pytest.approx(math.log(2))]
    assert volumes[-1] == volumes[-2]


def test_a_negative_number_counts_against_in_its_slot_and_for_in_volume() -> None:
    above, below = traits_of("x", {"rows": 50}), traits_of("x", {"rows": -50})
    assert [-number for number in below.numbers] == list(above.numbers)
    assert above.volume == below.volume > 0


@pytest.mark.parametrize("value", [True, False, None, "", math.nan, math.inf, -math.inf, [], {}], ids=repr)
def test_what_is_no_number_has_no_volume(value: object) -> None:
    traits = traits_of("x", {"a": value})
    assert (traits.volume, traits.numbers) == (0.0, (0.0,) * SLOTS)
    assert bounded(traits)


@pytest.mark.parametrize(
    "payload",
    [
        {"a": 10**400, "b": -(10**400)},
        {"a": 10**5000},
        {"a": "\ud800", "\udfff": "x"},
        {"a": "x" * 1_000_000},
        {"k" * 1_000_000: 1},
        {f"key-{number}": number for number in range(50_000)},
        {"a": list(range(100_000))},
        {"a": [[[[{}] * 100] * 100] * 10] * 10},
        {"a": [1.7e308] * 100},
        nested(5000),
    ],
    ids=["huge", "unprintable", "surrogates", "long", "long key", "keys", "list", "empty", "floats", "deep"],
)
def test_hostile_payloads_are_bounded(payload: dict[str, Any]) -> None:
    traits = traits_of("\ud800 x", payload)
    assert bounded(traits)
    assert traits == traits_of("\ud800 x", payload)


def test_paths_do_not_grow_with_the_depth() -> None:
    """Otherwise a payload of long keys would be copied once per level."""
    assert bounded(traits_of("x", nested(5000, key="k" * 100_000)))


def test_the_first_values_count_and_no_others() -> None:
    many = {f"{number:05}": number + 1 for number in range(MOST_VALUES)}
    assert traits_of("x", {**many, "99999": 5}) == traits_of("x", many)
    assert traits_of("x", {**many, "00000": 5}) != traits_of("x", many)
    assert traits_of("x", {"a": [1] * MOST_VALUES, "b": 5}) == traits_of("x", {"a": [1] * MOST_VALUES})


def test_of_a_text_only_the_beginning_counts() -> None:
    assert traits_of("x", {"a": "y" * LONGEST_TEXT}) == traits_of("x", {"a": "y" * LONGEST_TEXT + "z"})
    assert traits_of("x", {"a": "y" * LONGEST_TEXT}).size == LONGEST_TEXT


def test_whole_numbers_are_told_apart_as_far_as_a_float_reaches() -> None:
    digests = {traits_of("x", {"id": number}).digest for number in (10**18, 10**18 + 1, LARGEST - 1, LARGEST)}
    assert len(digests) == 4
