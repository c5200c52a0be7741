"""WSGI entry point: the same views as ASGI, without sockets."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from jobs.executors.prctl import hide_process
from smartqueue.startup import start_database

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartqueue.settings")
hide_process()
start_database()
application = get_wsgi_application()
