"""What may go wrong in the predictor. None of these reaches a submitter: jobs.prediction falls back."""

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


class FailedTraining(PredictorError):
    """The training did not come to a model that can be measured."""
