from __future__ import annotations

import importlib

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from predictor.models import ModelVersion

pytestmark = pytest.mark.django_db


def test_at_most_one_version_is_active(cold_start: ModelVersion) -> None:
    ModelVersion.objects.create(kind="lstm", weights=b"w")
    with pytest.raises(IntegrityError, match="modelversion_one_active"), transaction.atomic():
        ModelVersion.objects.create(kind="lstm", weights=b"w", active=True)


@pytest.mark.parametrize(
    "values", [{"kind": "lstm"}, {"kind": "cold_start", "weights": b"w"}, {"kind": "oracle", "weights": b"w"}]
)
def test_kind_is_known_and_weights_fit_it(values: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="modelversion_weights_fit_kind"), transaction.atomic():
        ModelVersion.objects.create(**values)


def test_trained_on_is_a_count() -> None:
    with pytest.raises(IntegrityError, match="modelversion_trained_on_range"), transaction.atomic():
        ModelVersion.objects.create(kind="cold_start", trained_on=-1)


def test_first_migration_puts_the_cold_start_in_force_once() -> None:
    seed = importlib.import_module("predictor.migrations.0002_first_version").put_cold_start_in_force
    ModelVersion.objects.all().delete()
    for _ in range(2):
        with connection.schema_editor() as editor:
            seed(apps, editor)
    (version,) = ModelVersion.objects.all()
    assert (version.kind, version.active, version.weights) == ("cold_start", True, None)
