"""What may go wrong in the predictor. None of these reaches a submitter: predictor.guard falls back."""

from __future__ import annotations

from orgs.exceptions import SmartQueueError


class PredictorError(SmartQueueError):
    """There is no usable prediction."""

    code = "no_prediction"
    http_status = 503


class NoActiveModel(PredictorError):
    """No model version is active."""


class UnusableModel(PredictorError):
    """The stored model cannot be used."""


class BadPrediction(PredictorError):
    """The predictor answered what cannot be a prediction."""


class BreakerOpen(PredictorError):
    """The predictor failed again and again and is not asked for a while."""


class AccuracyTooSlow(PredictorError):
    """The attempts could not be measured in time; ask for fewer days or try again later."""

    code = "took_too_long"


class FailedTraining(PredictorError):
    """The training did not come to a model that can be measured."""
