"""Registers the predictor with the queue, which knows it only as an interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from predictor.guard import Guarded


class PredictorConfig(AppConfig):
    name = "predictor"
    _guarded: Guarded | None = None

    def ready(self) -> None:
        self.register()

    @classmethod
    def register(cls) -> None:
        """Put the predictor in place, with nothing remembered and the breaker closed."""
        from django.conf import settings

        from jobs import prediction
        from predictor import explaining, service
        from predictor.guard import Guarded, WithFallback
        from predictor.recent import Recent

        fresh_s = settings.PREDICTION_FRESH_S
        if cls._guarded:
            cls._guarded.close()
        cls._guarded = guarded = Guarded(
            service.answer if fresh_s else service.predict,
            deadline_s=settings.PREDICTION_DEADLINE_MS / 1000,
            options=service.session_options(),
        )
        prediction.register(
            WithFallback(Recent(guarded, fresh_s, renew=service.answer) if fresh_s else guarded)
        )
        prediction.register_explainer(explaining.explain)
