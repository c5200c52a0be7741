"""Where models are kept: networks to bytes and back, versions, and which one is in force.

The bytes are an npz without pickle; its header names the format and the features, so that a file of
another program, or of a SmartQueue that read other features, is refused rather than misread.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from django.db import transaction

from predictor.exceptions import UnusableModel
from predictor.features import SCHEMA
from predictor.lstm import Array, Network, Shape
from predictor.models import ModelVersion

FORMAT = "smartqueue-lstm-1"
MAX_BYTES = 16 * 1024 * 1024
_HEADER = "header"


def pack(network: Network, schema: Mapping[str, Any] = SCHEMA) -> bytes:
    """A network and the features it reads, as npz."""
    header = {
        "format": FORMAT,
        "schema": dict(schema),
        "hidden": network.shape.hidden,
        "outputs": network.shape.outputs,
        "layers": network.shape.layers,
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_HEADER: np.array(json.dumps(header))}, **network.params)
    return buffer.getvalue()


def unpack(data: bytes) -> Network:
    """The network of `pack`. Raises UnusableModel for anything else, and for other features."""
    arrays = _arrays(data)
    header = _header(arrays.pop(_HEADER, None))
    if header["schema"] != SCHEMA:
        raise UnusableModel("The model reads other features than this SmartQueue; run `retrain`.")
    try:
        inputs = len(SCHEMA["features"])
        shape = Shape(inputs, int(header["hidden"]), int(header["outputs"]), int(header["layers"]))
        network = Network(shape, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableModel(f"The model's weights do not fit its header: {error}") from error
    if network.dtype != np.float32 or not all(np.isfinite(value).all() for value in arrays.values()):
        raise UnusableModel("The model's weights are not all finite 32 bit numbers.")
    return network


def _arrays(data: bytes) -> dict[str, Array]:
    if len(data) > MAX_BYTES:
        raise UnusableModel(f"The model has {len(data)} bytes; expected at most {MAX_BYTES}.")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    # Damaged bytes may fail in any layer of the zip and array readers, each with errors of its own.
    except Exception as error:
        raise UnusableModel(f"The model is damaged or no npz file: {error}") from error


def _header(stored: Array | None) -> dict[str, Any]:
    try:
        header = json.loads(str(stored))
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT or "schema" not in header:
        raise UnusableModel(f"The file is no model of SmartQueue: expected the format {FORMAT}.")
    return header


def save(
    network: Network, *, metrics: Mapping[str, Any], trained_on: int, window: tuple[datetime, datetime]
) -> ModelVersion:
    """A new version, not yet in force; its parent is the one that is."""
    return ModelVersion.objects.create(
        kind=ModelVersion.LSTM,
        weights=pack(network),
        feature_schema=dict(SCHEMA),
        metrics=dict(metrics),
        trained_on=trained_on,
        window_start=window[0],
        window_end=window[1],
        parent=ModelVersion.objects.filter(active=True).first(),
    )


def load(version_id: int) -> Network | None:
    """The network of a version; None for the cold start, which has none. Raises UnusableModel."""
    version = ModelVersion.objects.filter(pk=version_id).only("kind", "weights").first()
    if version is None:
        raise UnusableModel(f"Model version {version_id} is gone.")
    return None if version.kind == ModelVersion.COLD_START else unpack(bytes(version.weights or b""))


def activate(version: ModelVersion) -> None:
    """Put `version` in force in place of any other. Raises UnusableModel when it cannot be loaded."""
    with transaction.atomic():
        # All rows, in one order: two activations at once queue up instead of breaking the constraint.
        list(ModelVersion.objects.select_for_update().order_by("pk").values_list("pk"))
        load(version.pk)
        ModelVersion.objects.filter(active=True).exclude(pk=version.pk).update(active=False)
        ModelVersion.objects.filter(pk=version.pk).update(active=True)
    version.active = True
