"""Registers the predictor with the queue, which knows it only as an interface."""

from __future__ import annotations

from django.apps import AppConfig


class PredictorConfig(AppConfig):
    name = "predictor"

    def ready(self) -> None:
        from django.conf import settings

        from jobs import prediction
        from predictor import service
        from predictor.recent import Recent

        fresh_s = settings.PREDICTION_FRESH_S
        prediction.register(Recent(service.predict, fresh_s) if fresh_s else service.predict)
