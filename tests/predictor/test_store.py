from __future__ import annotations

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import numpy as np
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from predictor import store
from predictor.exceptions import UnusableModel
from predictor.features import SCHEMA
from predictor.lstm import Network
from predictor.models import ModelVersion
from tests.predictor.builders import network

PACKED = store.pack(network())


def save(net: Network) -> ModelVersion:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return store.save(net, metrics={"log2_network": 0.5}, trained_on=7, window=(moment, moment))


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_round_trip() -> None:
    net = network(seed=3, outputs=3)
    again = store.unpack(store.pack(net))
    assert again.shape == net.shape
    for name, value in net.params.items():
        np.testing.assert_array_equal(again.params[name], value)


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
    other = {**SCHEMA, "features": [*SCHEMA["features"][1:], "mood"]}
    with pytest.raises(UnusableModel, match=r"other features .* run `retrain`"):
        store.unpack(store.pack(network(), schema=other))


def test_weights_that_do_not_fit_the_header_are_refused() -> None:
    with pytest.raises(UnusableModel, match="do not fit its header"):
        store.unpack(store.pack(network(inputs=4)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    net = network()
    net.params["layer1.bias"][3] = value
    with pytest.raises(UnusableModel, match="finite"):
        store.unpack(store.pack(net))


@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_refused_or_harmless(place: int, change: int) -> None:
    damaged = bytearray(PACKED)
    damaged[place] ^= change
    try:
        again = store.unpack(bytes(damaged))
    except UnusableModel:
        return
    assert again.shape == network().shape


@pytest.mark.django_db
def test_saved_version_has_its_parent_and_is_not_in_force(cold_start: ModelVersion) -> None:
    version = save(network())
    version.refresh_from_db()
    assert (version.active, version.parent, version.trained_on) == (False, cold_start, 7)
    assert version.feature_schema == SCHEMA
    loaded = store.load(version.pk)
    assert loaded is not None
    assert loaded.shape == network().shape
    assert store.load(cold_start.pk) is None


@pytest.mark.django_db
def test_activating_puts_one_version_in_force(cold_start: ModelVersion) -> None:
    version = save(network())
    store.activate(version)
    assert list(ModelVersion.objects.filter(active=True)) == [version]
    store.activate(cold_start)
    assert list(ModelVersion.objects.filter(active=True)) == [cold_start]


@pytest.mark.django_db
def test_broken_version_is_not_put_in_force(cold_start: ModelVersion) -> None:
    broken = ModelVersion.objects.create(kind="lstm", weights=PACKED[:-100])
    with pytest.raises(UnusableModel):
        store.activate(broken)
    assert list(ModelVersion.objects.filter(active=True)) == [cold_start]
    with pytest.raises(UnusableModel, match="is gone"):
        store.load(broken.pk + 1)


@pytest.mark.django_db(transaction=True)
def test_activations_at_once_leave_one_in_force(cold_start: ModelVersion) -> None:
    versions = [save(network()) for _ in range(4)]
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
