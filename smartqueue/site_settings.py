"""How the API, its schema and the admin work and present themselves: settings that no environment changes.

Imported by `settings`, which has everything that may differ between two installations.
"""

from __future__ import annotations

from django.templatetags.static import static

from smartqueue import admin_navigation

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "orgs.authentication.JWTAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["orgs.api_limits.ApiThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["smartqueue.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "smartqueue.errors.api_exception_handler",
    "COERCE_DECIMAL_TO_STRING": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "SmartQueue",
    "DESCRIPTION": "Multi-tenant job platform that learns how long jobs run and orders the queue by it.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.1",
    "GET_LIB_DOC_EXCLUDES": "smartqueue.openapi.classes_without_docs",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "smartqueue.openapi.describe_responses",
        "smartqueue.openapi.let_null_be_anything",
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "JobTypeEnum": "jobs.payloads.JOB_TYPES",
        "JobStatusEnum": "jobs.states.STATUSES",
        "ReplayableStatusEnum": "jobs.replays.REPLAYABLE",
        "ReplayStatusEnum": "jobs.replays.STATUSES",
        "RoleEnum": "orgs.roles.ROLES.items",
        "GrantedRoleEnum": "orgs.roles.GRANTED_BY_ORG_ADMINS",
    },
    # The badge would send the schema to a validator on another site.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
UNFOLD = {
    "SITE_TITLE": "SmartQueue",
    "SITE_HEADER": "SmartQueue",
    "SITE_URL": "/dashboard/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/favicon.svg")}
    ],
    "SITE_ICON": lambda request: static("img/favicon.svg"),
    "SITE_SUBHEADER": "Administration",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": admin_navigation.COLOURS,
    "STYLES": [lambda request: static("css/admin.css")],
    "SCRIPTS": [
        lambda request: static("js/admin.js"),
        lambda request: static("js/admin_expressions.js"),
    ],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": admin_navigation.navigation,
    },
    "ACCOUNT": {"navigation": [{"title": "Dashboard", "link": "/dashboard/"}]},
}
