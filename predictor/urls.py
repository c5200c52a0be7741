"""Paths of the predictor's API; the root of the site includes them at "/"."""

from __future__ import annotations

from django.urls import path

from predictor import api

urlpatterns = [
    path("predictor/predict", api.PredictView.as_view(), name="predictor-predict"),
    path("predictor/models", api.ModelListView.as_view(), name="predictor-models"),
    path("predictor/accuracy", api.AccuracyView.as_view(), name="predictor-accuracy"),
]
