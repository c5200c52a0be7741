"""The demo organisation of `manage.py up`: its people and its first jobs, all of them real work."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from django.db import transaction

from jobs import services
from jobs.models import Job
from jobs.payloads import JOB_TYPES
from orgs import roles
from orgs.models import Organization, User

ORG_NAME = "Demo"
PEOPLE = {
    "demo-admin": roles.ORG_ADMIN,
    "demo-user": roles.USER,
    "demo-viewer": roles.VIEWER,
    "platform-admin": roles.ADMIN,
}

IRIS_SQL = """
CREATE TABLE petals AS
SELECT target AS species, petal_length_cm * petal_width_cm AS area FROM iris;
SELECT species, count(*) AS flowers, round(avg(area), 3) AS mean_petal_area, round(max(area), 3) AS largest
FROM petals GROUP BY species ORDER BY species;
"""


def first_jobs(base_url: str) -> list[dict[str, Any]]:
    """One job of each kind, and one that fails, is retried and ends as a dead letter."""
    return [
        {
            "name": "health check",
            "type": "http",
            "payload": {"url": f"{base_url}/healthz", "expect_status": 200},
        },
        {
            "name": "disk report",
            "type": "shell",
            "payload": {
                "command": 'echo "Working folder: $PWD"; for i in 1 2 3; do echo "step $i"; sleep 1; done; df -h .'
            },
        },
        {
            "name": "petal sizes",
            "type": "etl",
            "payload": {
                "inputs": {"iris": {"dataset": "iris"}},
                "sql": IRIS_SQL,
                "output": {"format": "json"},
            },
        },
        {
            "name": "breast cancer model",
            "type": "ml",
            "payload": {
                "dataset": "breast_cancer",
                "target": "target",
                "estimator": "RandomForestClassifier",
                "params": {"n_estimators": 200},
                "test_size": 0.25,
            },
        },
        {"name": "sum", "type": "python", "payload": {"function": "add", "args": [40, 2]}},
        {
            "name": "broken import",
            "type": "shell",
            "payload": {"command": 'echo "opening the file"; cat import.csv'},
            "max_retries": 2,
        },
        {
            "name": "nightly report",
            "type": "shell",
            "payload": {"command": "date -u; echo report sent"},
            "lane": "low",
        },
        {"name": "urgent ping", "type": "http", "payload": {"url": f"{base_url}/readyz"}, "lane": "high"},
    ]


def ensure_people(data_dir: Path) -> dict[str, str]:
    """The demo organisation and its people; answers {username: password}.

    Passwords are made once and kept in the data folder. A password that its owner has changed since is
    left alone and shown as such.
    """
    path = data_dir / "demo_logins.json"
    logins: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    with transaction.atomic():
        org, new = Organization.objects.get_or_create(name=ORG_NAME, defaults={"job_types": list(JOB_TYPES)})
        if not new and org.job_types is None:  # from before there were grants
            Organization.objects.filter(pk=org.pk).update(job_types=list(JOB_TYPES))
        for username, role in PEOPLE.items():
            user = User.objects.filter(username=username).first()
            if user is None:
                logins[username] = "-".join(secrets.token_hex(2) for _ in range(3))
                User.objects.create_user(
                    username=username,
                    password=logins[username],
                    role=role,
                    org=None if role == roles.ADMIN else org,
                )
            elif not user.check_password(logins.get(username, "")):
                logins[username] = "(the password that you chose)"
        path.touch(mode=0o600)
        path.write_text(json.dumps(logins, indent=2), encoding="utf-8")
    return logins


def submit_first_jobs(base_url: str) -> int:
    """Submit `first_jobs` where the demo organisation has none yet; answers how many jobs there were before."""
    org = Organization.objects.get(name=ORG_NAME)
    before = Job.objects.filter(org=org).count()
    if before == 0:
        user = User.objects.get(username="demo-user")
        for values in first_jobs(base_url):
            services.submit(org=org, user=user, **values)
    return before
