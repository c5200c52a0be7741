"""Paths of the predictor's API; the root of the site includes them at "/"."""

from __future__ import annotations

from django.urls import path

from predictor import api

urlpatterns = [path("predictor/predict", api.PredictView.as_view(), name="predictor-predict")]
