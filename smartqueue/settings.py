"""Every setting of SmartQueue, read from the environment through `smartqueue.env`.

The same for development, tests and production: what differs comes from variables, which docs/configuration.md
lists. Wrong values stop the process here, with the name of the variable. Those of the queue are in
`queue_settings` and `order_settings`, those that no environment changes in `site_settings`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from smartqueue import local_data, postgres, site_settings
from smartqueue.browser_settings import *  # noqa: F403 - they are settings like those below
from smartqueue.browser_settings import CORS_ALLOWED_ORIGINS, SECURITY_CHECKS_SILENCED
from smartqueue.door_settings import *  # noqa: F403 - they are settings like those below
from smartqueue.env import (
    env_bool,
    env_choice,
    env_float,
    env_int,
    env_list,
    env_path,
    env_secret,
    env_str,
)
from smartqueue.order_settings import *  # noqa: F403 - they are settings like those below
from smartqueue.queue_settings import *  # noqa: F403 - they are settings like those below

BASE_DIR = Path(__file__).resolve().parent.parent

DATA_DIR = env_path(
    "SMARTQUEUE_DATA_DIR",
    local_data.default_dir(BASE_DIR),
    "Where the embedded PostgreSQL, the generated secret key and logs are kept.",
    shown="a folder of this clone under ~/.local/share/smartqueue",
)
DEBUG = env_bool("SMARTQUEUE_DEBUG", False, "Django's debug pages. Never on a machine that others can reach.")

# Database
DATABASE_URL = env_secret(
    "DATABASE_URL",
    "PostgreSQL to use, as postgresql://user:password@host:5432/name. Without it an embedded one is started.",
    shown="embedded PostgreSQL",
)
DATABASE_DIRECT_URL = env_secret(
    "SMARTQUEUE_DATABASE_DIRECT_URL",
    "The same database past any pooler, for LISTEN and the leader's advisory lock.",
    shown="DATABASE_URL",
)
DB_POOL_MAX = env_int(
    "SMARTQUEUE_DB_POOL_MAX", 8, "Connections that one process keeps in its pool at most.", low=4, high=200
)
DB_POOL_TIMEOUT_S = env_float(
    "SMARTQUEUE_DB_POOL_TIMEOUT_S",
    3,
    "Seconds a request waits for a connection before it gets 503.",
    low=0.1,
    high=60,
)
EMBEDDED_POSTGRES: Path | None = None if DATABASE_URL else DATA_DIR
EMBEDDED_POSTGRES_DURABLE = env_bool(
    "SMARTQUEUE_EMBEDDED_DURABLE",
    True,
    "false: the embedded PostgreSQL skips fsync (tests only: a crash loses data).",
)


# A server whose machine vanished is noticed after seconds, not after the kernel's quarter of an hour.
NETWORK = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 12_000}


# No process of ours may be the one whose forgotten transaction keeps dead rows of the queue. Given when the session
# starts, which costs no round trip; a pooler refuses such options and has its own (docs/deployment.md).
SESSION_OPTIONS = "-c idle_in_transaction_session_timeout=60s"


def _dsn(name: str, url: str) -> str:
    try:
        parts = conninfo_to_dict(url)
    except Exception:  # whose text may hold the password
        raise ImproperlyConfigured(f"{name}: expected postgresql://user:password@host:5432/name.") from None
    if not parts.get("dbname"):
        raise ImproperlyConfigured(
            f"{name}: expected a database name at the end, as in postgresql://host:5432/name."
        )
    return make_conninfo(url, **{key: value for key, value in NETWORK.items() if key not in parts})


def _database(dsn: str) -> dict[str, Any]:
    parts = dict(conninfo_to_dict(dsn))
    options = {
        key: value
        for key, value in parts.items()
        if key not in ("dbname", "user", "password", "host", "port")
    }
    return {
        "ENGINE": "django_prometheus.db.backends.postgresql",
        "NAME": parts["dbname"],
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "HOST": parts.get("host", ""),
        "PORT": parts.get("port", ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **options,
            "connect_timeout": options.get("connect_timeout", 5),
            "options": f"{'' if DATABASE_DIRECT_URL else SESSION_OPTIONS} {options.get('options', '')}".strip(),
            # A pooler hands statements to other sessions than those that prepared them.
            "prepare_threshold": None if DATABASE_DIRECT_URL else 2,
            "pool": {"min_size": 1, "max_size": DB_POOL_MAX, "timeout": DB_POOL_TIMEOUT_S, "max_idle": 120},
        },
    }


DATABASE_DSN = _dsn("DATABASE_URL", DATABASE_URL or postgres.dsn(DATA_DIR))
DATABASE_DIRECT_DSN = (
    _dsn("SMARTQUEUE_DATABASE_DIRECT_URL", DATABASE_DIRECT_URL) if DATABASE_DIRECT_URL else DATABASE_DSN
)
DATABASES = {"default": _database(DATABASE_DSN)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Secrets and doors
SECRET_KEY = env_secret(
    "SMARTQUEUE_SECRET_KEY",
    "Signs sessions and forms. At least 32 characters.",
    default=local_data.kept_secret_key(DATA_DIR) if EMBEDDED_POSTGRES else "",
    shown="generated and kept in the data folder when the embedded PostgreSQL is used; else required",
)
if len(SECRET_KEY) < 32:
    raise ImproperlyConfigured(
        "SMARTQUEUE_SECRET_KEY: expected at least 32 characters "
        "(python -c 'import secrets; print(secrets.token_urlsafe(48))' makes one)."
    )
SECRET_KEY_FALLBACKS = [
    key.strip()
    for key in env_secret(
        "SMARTQUEUE_SECRET_KEY_FALLBACKS",
        "Comma-separated older secret keys: what they signed, sessions too, is still accepted.",
    ).split(",")
    if key.strip()
]
if any(len(key) < 32 for key in SECRET_KEY_FALLBACKS):
    raise ImproperlyConfigured(
        "SMARTQUEUE_SECRET_KEY_FALLBACKS: expected at least 32 characters in each key."
    )


def _derived_jwt_secret(key: str) -> str:
    return hashlib.sha256(b"jwt:" + key.encode()).hexdigest()


JWT_SECRET = env_secret(
    "SMARTQUEUE_JWT_SECRET",
    "Signs access tokens (HMAC-SHA256). At least 32 characters.",
    default=_derived_jwt_secret(SECRET_KEY),
    shown="derived from SMARTQUEUE_SECRET_KEY",
)
JWT_PREVIOUS_SECRETS = [
    secret.strip()
    for secret in env_secret(
        "SMARTQUEUE_JWT_PREVIOUS_SECRETS", "Comma-separated older secrets whose tokens are still accepted."
    ).split(",")
    if secret.strip()
]
if any(len(secret) < 32 for secret in [JWT_SECRET, *JWT_PREVIOUS_SECRETS]):
    raise ImproperlyConfigured(
        "SMARTQUEUE_JWT_SECRET and SMARTQUEUE_JWT_PREVIOUS_SECRETS: expected at least 32 characters in each secret."
    )
if _derived_jwt_secret(SECRET_KEY) == JWT_SECRET:
    JWT_PREVIOUS_SECRETS += map(_derived_jwt_secret, SECRET_KEY_FALLBACKS)
JWT_TTL_S = env_int("SMARTQUEUE_JWT_TTL_S", 900, "Life of an access token in seconds.", low=30, high=86_400)
REFRESH_TTL_S = env_int(
    "SMARTQUEUE_REFRESH_TTL_S",
    14 * 86_400,
    "Life of a refresh token in seconds; each use begins it anew.",
    low=60,
    high=365 * 86_400,
)
API_KEY_MAX_DAYS = env_int(
    "SMARTQUEUE_API_KEY_MAX_DAYS",
    365,
    "Days that an API key lasts at most; 0: keys without an end may be made.",
    low=0,
    high=3650,
)
ALLOWED_HOSTS = env_list(
    "SMARTQUEUE_ALLOWED_HOSTS",
    "localhost,127.0.0.1,[::1]",
    "Host names under which the site may be addressed.",
)
CSRF_TRUSTED_ORIGINS = env_list(
    "SMARTQUEUE_CSRF_TRUSTED_ORIGINS", "", "Origins such as https://queue.example.org when a proxy ends TLS."
)

# The filter of orgs.scoping. No environment may turn it off: tests do, to show that row-level security holds alone.
TENANT_FILTER = True
AUTH_USER_MODEL = "orgs.User"
AUTHENTICATION_BACKENDS = ["orgs.admission.PasswordBackend"]
CSRF_FAILURE_VIEW = "smartqueue.errors.csrf_failure"
LOGIN_URL = "/dashboard/login/"
LOGIN_REDIRECT_URL = "/dashboard/"
LOGOUT_REDIRECT_URL = "/dashboard/login/"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Browsers keep cookies by host, not by port: two clones on one machine need names of their own.
COOKIE_SUFFIX = f"_{hashlib.sha256(str(DATA_DIR).encode()).hexdigest()[:8]}" if EMBEDDED_POSTGRES else ""
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"sessionid{COOKIE_SUFFIX}", f"csrftoken{COOKIE_SUFFIX}"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# Processes
PORT = env_int(
    "SMARTQUEUE_PORT", 8000, "First port that `manage.py up` tries for the web server.", low=1, high=65_535
)
METRICS_PORT = env_int(
    "SMARTQUEUE_METRICS_PORT",
    0,
    "Port of a worker's or scheduler's own /metrics; 0 turns it off.",
    low=0,
    high=65_535,
)
METRICS_HOST = env_str(
    "SMARTQUEUE_METRICS_HOST", "127.0.0.1", "Address of a worker's or scheduler's own /metrics."
)
LOG_LEVEL = env_choice(
    "SMARTQUEUE_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"), "Least level that is logged."
)

# Django
# `channels` stays out: it would bring a `runworker` command of its own, and it is needed for nothing else.
INSTALLED_APPS = [
    "smartqueue",
    "scheduler",
    "analytics",
    "predictor",
    "jobs",
    "orgs",
    # Without its own admin site: ours is orgs.admin_site.
    "unfold.apps.BasicAppConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_prometheus",
    "django_ratelimit",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "smartqueue.browser_policy.BrowserPolicyMiddleware",
    *(["corsheaders.middleware.CorsMiddleware"] if CORS_ALLOWED_ORIGINS else []),
    "django.contrib.sessions.middleware.SessionMiddleware",
    "smartqueue.middleware.FactsMiddleware",
    "smartqueue.middleware.SiteMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "orgs.see_as.SeeAsMiddleware",
    "orgs.admission.WallMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "smartqueue.urls"
ASGI_APPLICATION = "smartqueue.asgi.application"
WSGI_APPLICATION = "smartqueue.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = env_path(
    "SMARTQUEUE_STATIC_ROOT",
    BASE_DIR / "staticfiles",
    "Where `collectstatic` puts files.",
    shown="staticfiles/",
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage."
        + ("StaticFilesStorage" if DEBUG else "ManifestStaticFilesStorage")
    },
}

# One layer per web process: NOTIFY carries a change to every process (see orgs.live).
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
CACHES = {"default": {"BACKEND": "smartqueue.pgcache.PostgresCache", "LOCATION": "smartqueue_cache"}}
# W001 only says that the cache backend is not on a list; tests/smartqueue/test_pgcache.py proves it atomic.
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.W001", *SECURITY_CHECKS_SILENCED]
PROMETHEUS_EXPORT_MIGRATIONS = False

REST_FRAMEWORK = site_settings.REST_FRAMEWORK
SPECTACULAR_SETTINGS = site_settings.SPECTACULAR_SETTINGS
UNFOLD = site_settings.UNFOLD

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
}
