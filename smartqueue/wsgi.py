"""WSGI entry point: the same views as ASGI, without sockets."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from smartqueue.startup import start_database

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartqueue.settings")
start_database()
application = get_wsgi_application()
