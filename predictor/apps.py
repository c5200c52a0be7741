"""Registers the predictor with the queue, which knows it only as an interface."""

from __future__ import annotations

from django.apps import AppConfig


class PredictorConfig(AppConfig):
    name = "predictor"

    def ready(self) -> None:
        from jobs import prediction
        from predictor import service

        prediction.register(service.predict)
