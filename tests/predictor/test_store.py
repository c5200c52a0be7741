from __future__ import annotations

import io
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import numpy as np
import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from predictor import store
from predictor.estimate import Knowledge
from predictor.exceptions import UnusableModel
from predictor.features import SCHEMA
from predictor.models import ModelVersion
from tests.predictor.builders import model

LEVELS = {"etl": 7.5, "shell": 6.25}
PACKED = store.pack(model(), LEVELS)


def save(origin: str = ModelVersion.RETRAIN) -> ModelVersion:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return store.save(
        PACKED, origin=origin, metrics={"log2_network": 0.5}, trained_on=7, window=(moment, moment)
    )


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_round_trip() -> None:
    made = model(seed=3, hidden=5)
    again = store.unpack(store.pack(made, LEVELS))
    assert again.levels == LEVELS
    assert again.network is not None
    assert again.network.hidden == 5
    for name, value in made.params.items():
        np.testing.assert_array_equal(again.network.params[name], value)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "damaged or no npz"),
        (b"PK\x03\x04 not really", "damaged or no npz"),
        (PACKED[: len(PACKED) // 2], "damaged or no npz"),
        (PACKED.replace(b"\x93NUMPY", b"\x93NUMBY"), "damaged or no npz"),
        (pickle.dumps({"weights": [1.0]}), "damaged or no npz"),
        (npz(a=np.array([{"an": "object"}], object)), "damaged or no npz"),
        (npz(weights=np.zeros(3)), "no model of SmartQueue"),
        (npz(header=np.array('{"format": "other-1", "schema": {}}')), "no model of SmartQueue"),
        (npz(header=np.array("[]")), "no model of SmartQueue"),
        (b"PK" * store.MAX_BYTES, "expected at most"),
    ],
)
def test_what_is_no_model_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(UnusableModel, match=complaint):
        store.unpack(data)


def test_other_features_are_refused() -> None:
    other = {**SCHEMA, "ask": [*SCHEMA["ask"][1:], "mood"]}
    with pytest.raises(UnusableModel, match=r"other features .* run `retrain`"):
        store.unpack(store.pack(model(), LEVELS, schema=other))


@pytest.mark.parametrize(
    "change",
    [{"hidden": 9}, {"hidden": "many"}, {"hidden": None}, {"levels": ["etl"]}, {"levels": {"etl": "long"}}],
)
def test_a_header_that_does_not_fit_the_weights_is_refused(change: dict[str, object]) -> None:
    made = model()
    header = {"format": store.FORMAT, "schema": dict(SCHEMA), "hidden": made.hidden, "levels": LEVELS}
    data = npz(header=np.array(json.dumps(header | change)), **made.params)
    with pytest.raises(UnusableModel, match="do not fit its header"):
        store.unpack(data)


@pytest.mark.parametrize("missing", ["hidden", "levels"])
def test_a_header_with_a_gap_is_refused(missing: str) -> None:
    made = model()
    header = {"format": store.FORMAT, "schema": dict(SCHEMA), "hidden": made.hidden, "levels": LEVELS}
    del header[missing]
    with pytest.raises(UnusableModel, match="do not fit its header"):
        store.unpack(npz(header=np.array(json.dumps(header)), **made.params))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    made = model()
    made.params["head.bias"][1] = value
    with pytest.raises(UnusableModel, match="finite"):
        store.unpack(store.pack(made, LEVELS))


def test_levels_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(UnusableModel, match="finite"):
        store.unpack(store.pack(model(), {"etl": float("nan")}))


def test_weights_of_another_precision_are_refused() -> None:
    with pytest.raises(UnusableModel, match="32 bit"):
        store.unpack(store.pack(model(dtype=np.float64), LEVELS))


@settings(deadline=None)
@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_refused_or_harmless(place: int, change: int) -> None:
    damaged = bytearray(PACKED)
    damaged[place] ^= change
    try:
        again = store.unpack(bytes(damaged))
    except UnusableModel:
        return
    assert again.network is not None
    assert again.network.hidden == model().hidden


@pytest.mark.django_db
def test_saved_version_has_its_parent_and_is_not_in_force(cold_start: ModelVersion) -> None:
    version = save()
    version.refresh_from_db()
    assert (version.active, version.parent, version.trained_on) == (False, cold_start, 7)
    assert (version.origin, version.activated_at) == ("retrain", None)
    assert version.feature_schema == SCHEMA
    loaded = store.load(version.pk)
    assert loaded.levels == LEVELS
    assert loaded.network is not None
    assert store.load(cold_start.pk).network is None


@pytest.mark.django_db
def test_the_parent_of_a_version_is_never_one_that_was_learned_online(cold_start: ModelVersion) -> None:
    """So that the way back outlives the pruning of those."""
    trained = save()
    store.activate(trained)
    for _ in range(3):
        online = save(ModelVersion.ONLINE)
        assert online.parent == trained
        store.activate(online)
    assert save().parent == trained


@pytest.mark.django_db
def test_of_what_was_learned_online_the_newest_are_kept(cold_start: ModelVersion) -> None:
    trained, rejected = save(), save()
    store.activate(trained)
    online = [save(ModelVersion.ONLINE) for _ in range(5)]
    store.activate(online[1])
    assert store.prune_online(2) == 2
    assert versions() == [cold_start, trained, rejected, online[1], online[3], online[4]]
    assert store.prune_online(2) == 0


@pytest.mark.django_db
def test_of_what_was_never_in_force_the_newest_are_kept(cold_start: ModelVersion) -> None:
    trained, online = save(), save(ModelVersion.ONLINE)
    store.activate(trained)
    rejected = [save() for _ in range(4)]
    store.activate(rejected[3])
    assert store.prune_rejected(2) == 1
    assert versions() == [cold_start, trained, online, *rejected[1:]]
    assert store.prune_rejected(2) == 0


def versions() -> list[ModelVersion]:
    return list(ModelVersion.objects.order_by("pk"))


@pytest.mark.django_db
def test_activating_puts_one_version_in_force(cold_start: ModelVersion) -> None:
    version = save()
    store.activate(version)
    assert list(ModelVersion.objects.filter(active=True)) == [version]
    assert ModelVersion.objects.get(active=True).activated_at is not None
    loaded = store.active()
    assert loaded.levels == LEVELS
    store.activate(cold_start)
    assert list(ModelVersion.objects.filter(active=True)) == [cold_start]
    assert store.active() == Knowledge()


@pytest.mark.django_db
def test_broken_version_is_not_put_in_force(cold_start: ModelVersion) -> None:
    broken = ModelVersion.objects.create(kind="lstm", weights=PACKED[:-100])
    with pytest.raises(UnusableModel):
        store.activate(broken)
    assert list(ModelVersion.objects.filter(active=True)) == [cold_start]
    with pytest.raises(UnusableModel, match="is gone"):
        store.load(broken.pk + 1)
    ModelVersion.objects.update(active=False)
    assert store.active() == Knowledge()
    ModelVersion.objects.filter(pk=broken.pk).update(active=True)
    assert store.active() == Knowledge()


@pytest.mark.django_db(transaction=True)
def test_activations_at_once_leave_one_in_force(cold_start: ModelVersion) -> None:
    versions = [save() for _ in range(4)]
    together = Barrier(len(versions))

    def activate(version: ModelVersion) -> None:
        try:
            together.wait(timeout=10)
            store.activate(version)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(versions)) as pool:
        list(pool.map(activate, versions))
    assert ModelVersion.objects.filter(active=True).count() == 1
