"""The minimal Django REST framework service: checks a bearer token and a body, inserts one row by the ORM.

One file with its settings in it, behind the same server and handler as SmartQueue, without middleware.
SUBMIT_DSN names the database, SUBMIT_SECRET signs the tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

PARTS = conninfo_to_dict(os.environ["SUBMIT_DSN"])
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="x" * 40,
    USE_TZ=True,
    MIDDLEWARE=[],
    INSTALLED_APPS=["rest_framework"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": PARTS["dbname"],
            "USER": PARTS.get("user", ""),
            "HOST": PARTS.get("host", ""),
            "PORT": PARTS.get("port", ""),
            "OPTIONS": {"pool": {"min_size": 1, "max_size": 8}},
        }
    },
    REST_FRAMEWORK={
        "UNAUTHENTICATED_USER": None,
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    },
)

from smartqueue.http import get_http_application  # noqa: E402

application = get_http_application()

from django.db import models  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import authentication, exceptions, serializers  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


class Job(models.Model):  # noqa: DJ008 - nobody reads it
    name = models.CharField(max_length=200)
    type = models.CharField(max_length=20)
    payload = models.JSONField()
    state = models.CharField(max_length=20, default="queued")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "minimal"
        db_table = "minimal_job"


class JobSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)
    type = serializers.ChoiceField(choices=["http", "shell", "etl", "ml", "python"])
    payload = serializers.DictField()


class Bearer(authentication.BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[str, None]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        name, _, signature = token.partition(".")
        wanted = hmac.new(os.environ["SUBMIT_SECRET"].encode(), name.encode(), hashlib.sha256).hexdigest()
        if scheme != "Bearer" or not hmac.compare_digest(signature, wanted):
            raise exceptions.AuthenticationFailed
        return name, None


class SubmitView(APIView):
    authentication_classes = (Bearer,)

    def post(self, request: Request) -> Response:
        serializer = JobSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        job = Job._default_manager.create(**serializer.validated_data)
        return Response({"id": job.pk, "state": job.state, **serializer.validated_data}, status=201)


urlpatterns = [path("jobs/", SubmitView.as_view())]
