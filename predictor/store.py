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
from django.db.models import QuerySet
from django.db.models.functions import Now

from predictor.estimate import Knowledge
from predictor.exceptions import UnusableModel
from predictor.features import SCHEMA
from predictor.lstm import Array
from predictor.model import Model
from predictor.models import ModelVersion

FORMAT = "smartqueue-lstm-2"
MAX_BYTES = 16 * 1024 * 1024
_HEADER = "header"


def pack(model: Model, levels: Mapping[str, float], schema: Mapping[str, Any] = SCHEMA) -> bytes:
    """A network, the features it reads and the levels of the types (natural logs of milliseconds), as npz."""
    header = {"format": FORMAT, "schema": dict(schema), "hidden": model.hidden, "levels": dict(levels)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_HEADER: np.array(json.dumps(header))}, **model.params)
    return buffer.getvalue()


def unpack(data: bytes) -> Knowledge:
    """The network of `pack`. Raises UnusableModel for anything else, and for other features."""
    arrays = _arrays(data)
    header = _header(arrays.pop(_HEADER, None))
    if header["schema"] != SCHEMA:
        raise UnusableModel("The model reads other features than this SmartQueue; run `retrain`.")
    try:
        model = Model(int(header["hidden"]), arrays)
        levels = {str(name): float(level) for name, level in header["levels"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnusableModel(f"The model's weights do not fit its header: {error}") from error
    numbers = [*arrays.values(), np.array(list(levels.values()), np.float32)]
    if model.lstm.dtype != np.float32 or not all(np.isfinite(value).all() for value in numbers):
        raise UnusableModel("The model's weights are not all finite 32 bit numbers.")
    return Knowledge(model, levels)


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
    weights: bytes,
    *,
    origin: str,
    metrics: Mapping[str, Any],
    trained_on: int,
    window: tuple[datetime, datetime],
) -> ModelVersion:
    """A new version with the weights of `pack`, not yet in force."""
    return ModelVersion.objects.create(
        kind=ModelVersion.LSTM,
        origin=origin,
        weights=weights,
        feature_schema=dict(SCHEMA),
        metrics=dict(metrics),
        trained_on=trained_on,
        window_start=window[0],
        window_end=window[1],
        parent=_parent(),
    )


def _parent() -> ModelVersion | None:
    """The version in force; of one that was learned online, which may be removed one day, its own parent."""
    active = ModelVersion.objects.filter(active=True).first()
    return active.parent if active and active.origin == ModelVersion.ONLINE else active


def load(version_id: int) -> Knowledge:
    """What a version knows; the cold start knows nothing. Raises UnusableModel."""
    version = ModelVersion.objects.filter(pk=version_id).only("kind", "weights").first()
    if version is None:
        raise UnusableModel(f"Model version {version_id} is gone.")
    return Knowledge() if version.kind == ModelVersion.COLD_START else unpack(bytes(version.weights or b""))


def is_pinned() -> bool:
    """Whether the version in force was put there by hand."""
    return ModelVersion.objects.filter(active=True, pinned=True).exists()


def prune_online(keep: int) -> int:
    """Remove what was learned online, all but the newest `keep`, and never one in force."""
    return _remove_old(ModelVersion.objects.filter(origin=ModelVersion.ONLINE), keep)


def prune_rejected(keep: int) -> int:
    """Remove what was trained and never in force, all but the newest `keep`."""
    trained = ModelVersion.objects.exclude(origin=ModelVersion.ONLINE)
    return _remove_old(trained.filter(activated_at__isnull=True), keep)


def _remove_old(versions: QuerySet[ModelVersion], keep: int) -> int:
    removable = versions.filter(kind=ModelVersion.LSTM, active=False)
    old = list(removable.order_by("-id").values_list("pk", flat=True)[keep:])
    removed, _ = ModelVersion.objects.filter(pk__in=old).delete()
    return removed


def active() -> Knowledge:
    """What the version in force knows; nothing where there is none that can be used."""
    version_id = ModelVersion.objects.filter(active=True).values_list("pk", flat=True).first()
    try:
        return Knowledge() if version_id is None else load(version_id)
    except UnusableModel:
        return Knowledge()


def activate(version: ModelVersion, *, pinned: bool = False) -> None:
    """Put `version` in force in place of any other; `pinned`: learning leaves it there. Raises UnusableModel when
    it cannot be loaded."""
    with transaction.atomic():
        # All rows, in one order: two activations at once queue up instead of breaking the constraint.
        list(ModelVersion.objects.select_for_update().order_by("pk").values_list("pk"))
        load(version.pk)
        ModelVersion.objects.filter(active=True).exclude(pk=version.pk).update(active=False)
        ModelVersion.objects.filter(pk=version.pk).update(active=True, activated_at=Now(), pinned=pinned)
    version.active = True
