"""The product's settings; only what makes tests slow or needs `collectstatic` differs."""

from __future__ import annotations

from smartqueue.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PREDICTION_FRESH_S = 0.0  # tests that end a job look for its effect at once; tests/predictor/test_recent.py
# Asked in the thread of the test: another one has a connection of its own and sees nothing uncommitted.
PREDICTION_DEADLINE_MS = 0.0
JOB_TYPES_FOR_ALL = ["http", "shell", "etl", "ml", "python"]  # tests/jobs_api/test_job_types.py
LEARNING = (
    False  # a process of its own: tests/predictor/test_learning.py, tests/scheduling/test_learn_duty.py
)
# Each count inside a test's transaction would make a connection: tests/orgs/test_api_limits.py sets them.
RATE_USER = RATE_ORG = ""
