"""The REST views of analytics: one selector each."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics import calibration, depth, selectors
from analytics.serializers import (
    EtaCalibrationSerializer,
    PredictionAccuracySerializer,
    QueueDepthQuerySerializer,
    QueueDepthSerializer,
    SchedulerLeaderSerializer,
    SummarySerializer,
    ThroughputSerializer,
)
from orgs import roles
from orgs.api import answers
from orgs.queries import checked_query
from orgs.scoping import OrgAPIMixin
from orgs.serializers import StrictSerializer


class AnalyticsView(OrgAPIMixin, APIView):
    action_needed = {"GET": roles.JOBS_READ}


def documented(name: str, shape: type[Any], summary: str, **extra: Any) -> Any:
    return extend_schema(
        responses=answers(200, shape, 400, 401, 403),
        summary=summary,
        tags=["analytics"],
        operation_id=f"analytics_{name}",
        **extra,
    )


class SummaryView(AnalyticsView):
    @documented(
        "summary", SummarySerializer, "The first numbers of a dashboard", description="Up to two seconds old."
    )
    def get(self, request: Request) -> Response:
        checked_query(StrictSerializer, request)
        return Response(SummarySerializer(selectors.summary(self.user)).data)


class ThroughputView(AnalyticsView):
    @documented("throughput", ThroughputSerializer, "What ended in the last 24 hours, by hour")
    def get(self, request: Request) -> Response:
        checked_query(StrictSerializer, request)
        return Response(ThroughputSerializer({"hours": selectors.throughput(self.user)}).data)


class PredictionAccuracyView(AnalyticsView):
    @documented(
        "prediction_accuracy",
        PredictionAccuracySerializer,
        "How well runtimes were predicted in the last 24 hours",
    )
    def get(self, request: Request) -> Response:
        checked_query(StrictSerializer, request)
        accuracy = {
            "overall": selectors.prediction_accuracy(self.user),
            "by_type": selectors.prediction_accuracy_by_type(self.user),
            "by_hour": selectors.prediction_accuracy_by_hour(self.user),
            "points": selectors.prediction_points(self.user),
        }
        return Response(PredictionAccuracySerializer(accuracy).data)


class EtaCalibrationView(AnalyticsView):
    @documented(
        "eta_calibration",
        EtaCalibrationSerializer,
        "How many jobs started inside the interval that was predicted, by day",
    )
    def get(self, request: Request) -> Response:
        checked_query(StrictSerializer, request)
        days = calibration.by_day(self.user)
        found = {
            "expected": calibration.EXPECTED,
            "overall": calibration.overall(days),
            "by_day": days,
        }
        return Response(EtaCalibrationSerializer(found).data)


class QueueDepthView(AnalyticsView):
    @documented(
        "queue_depth",
        QueueDepthSerializer,
        "How many jobs wait and run, now and lately",
        parameters=[QueueDepthQuerySerializer],
    )
    def get(self, request: Request) -> Response:
        query = checked_query(QueueDepthQuerySerializer, request)
        found = {"now": depth.queue_depth(self.user), "series": depth.depth_series(self.user, **query)}
        return Response(QueueDepthSerializer(found).data)


class SchedulerLeaderView(AnalyticsView):
    @documented(
        "scheduler_leader", SchedulerLeaderSerializer, "The scheduler that leads, and whether it is alive"
    )
    def get(self, request: Request) -> Response:
        checked_query(StrictSerializer, request)
        return Response(SchedulerLeaderSerializer(selectors.scheduler_leader()).data)
