"""What the walks do not know fails here: an address, a parameter, a field, a place in a path, a model, a column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models

from orgs.admin_site import site
from smartqueue import settings as product_settings
from tests.isolation import routes, test_api, test_pages
from tests.isolation.conftest import FILTERED
from tests.isolation.walking import Walker
from tests.isolation.world import APPS, World, tenant_models

pytestmark = pytest.mark.django_db

# Pages of the admin that belong to no model: test_admin.py visits each of them by its name.
ADMIN_PAGES = {
    "admin:search", "admin:usage", "admin:index", "admin:login", "admin:logout", "admin:password_change",
    "admin:password_change_done", "admin:autocomplete", "admin:jsi18n", "admin:app_list",
    "admin:auth_user_password_change", "admin:(admin/(?P<url>.*)$)",
}  # fmt: skip
# Nobody can name a row of Django's own through them.
UNPLANTED = {"orgs.User_groups", "orgs.User_user_permissions"}
# Texts out of a few words of ours, and hashes that the database makes.
NO_MARKER = re.compile(
    r"lane|status|type|job_type|scope|stream|outcome|prediction_source|worker_id|role|action|.*_status|hash|prev_hash"
    r"|job_types|scopes|password|secret_hash|object_id"
)


def test_every_address_is_visited() -> None:
    known = {*routes.BODIES, *routes.BODILESS, *routes.FORMS, *ADMIN_PAGES}
    unknown = [
        f"{route.name} ({route.template})"
        for route in routes.all_routes()
        if route.name not in known and not _is_of_a_model(route)
    ]
    assert not unknown, (
        f"{unknown}: say in tests/isolation/routes.py what is sent there: in BODIES or BODILESS for the API, in "
        "FORMS for a page; a page of the admin goes into ADMIN_PAGES here and into test_admin.py"
    )
    by_name = {route.name: route for route in routes.all_routes()}
    gone = sorted(name for name in known if name not in by_name)
    assert not gone, f"{gone}: no address has these names any more"


def _is_of_a_model(route: routes.Route) -> bool:
    """An address of a registered ModelAdmin: test_admin.py makes its visits from the registry."""
    names = [f"admin/{model._meta.app_label}/{model._meta.model_name}/" for model in site._registry]
    return any(route.template.startswith(name) for name in names)


def test_every_place_in_a_path_has_an_id() -> None:
    places = {
        place
        for route in routes.all_routes()
        for place in route.places
        if not route.name.startswith("admin:")
    }
    assert places == set(routes.PLACES), (
        "PLACES in tests/isolation/routes.py names the ids for the places in paths"
    )


def test_every_walk_takes_each_address_once() -> None:
    of_walks = {route.name for route in (*test_api.API, *test_pages.PAGES)}
    assert of_walks == {*routes.BODIES, *routes.BODILESS, *routes.FORMS}
    assert not set(routes.BODIES) & routes.BODILESS


def test_every_parameter_and_field_of_the_api_is_sent(worlds: tuple[World, World]) -> None:
    for (name, method), asked in routes.operations().items():
        unknown = {
            parameter["name"] for parameter in asked.get("parameters", []) if parameter["in"] != "path"
        }
        assert unknown <= set(routes.PARAMETERS), f"{method} {name}: PARAMETERS in routes.py lacks one"
        bodies = routes.BODIES[name](worlds[1]) if name in routes.BODIES else []
        sent = {field for body in bodies for field in body}
        unsent = asked["fields"] - sent - OPTIONAL_OF_JOBS
        assert not unsent, f"{method} {name}: BODIES in routes.py send no {sorted(unsent)}"


# Numbers and switches of a submission: they name nothing.
OPTIONAL_OF_JOBS = {
    "lane", "delay_s", "run_at", "max_retries", "retry_base_s", "retry_max_s", "timeout_s", "soft_timeout_s",
    "memory_mb", "cpu_s", "retry", "delay",
}  # fmt: skip


@pytest.mark.parametrize("walker", [("boss", FILTERED)], indirect=True)
def test_every_field_of_a_form_is_sent(walker: Walker) -> None:
    for route in test_pages.PAGES:
        sent = {name for form in routes.FORMS[route.name](walker.far) for name in form}
        for path in route.paths(walker.home):
            shown = _fields_of(walker.client.get(path))
            assert shown <= sent | set(routes.QUERIES), (
                f"{route.name}: FORMS or QUERIES in routes.py lack a field"
            )


def _fields_of(answer: object) -> set[str]:
    if answer.streaming or "html" not in answer.headers.get("Content-Type", ""):
        return set()
    tags = re.findall(r"<(?:input|select|textarea|button)\b[^>]*>", answer.content.decode())
    return {name for tag in tags for name in re.findall(r'\bname="([^"]+)"', tag)} - {
        "csrfmiddlewaretoken",
        "step",
    }


def test_every_model_of_an_organisation_is_planted(worlds: tuple[World, World]) -> None:
    for world in worlds:
        for model, condition in tenant_models():
            if model._meta.label in UNPLANTED:
                continue
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT count(*) FROM {model._meta.db_table} t WHERE {condition}", {"org": world.org.pk}
                )
                [[count]] = cursor.fetchall()
            assert count, f"{model._meta.label}: plant a row in tests/isolation/world.py"


def test_every_model_is_known_to_belong_to_somebody_or_nobody() -> None:
    owned = {model for model, _ in tenant_models()}
    nobodys = {
        model._meta.label
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in APPS and not model._meta.proxy and model not in owned
    }
    assert LogEntry in owned
    assert nobodys == {
        "jobs.Worker", "jobs.SchedulerLeader", "jobs.GateOpening", "jobs.EtaCorrection", "predictor.ModelVersion",
        "smartqueue.CacheEntry",
    }, "a model without an organisation is read by all: say so here, once that is sure"  # fmt: skip


def test_every_text_of_an_organisation_is_marked(worlds: tuple[World, World]) -> None:
    for model, condition in tenant_models():
        if model._meta.label in UNPLANTED:
            continue
        for column in model._meta.concrete_fields:
            if _is_text(column) and not NO_MARKER.fullmatch(column.column):
                assert _is_marked(model, column.column, condition, worlds[1]), (
                    f"{model._meta.label}.{column.column}: write the word of the organisation into it in world.py"
                )


def _is_text(column: models.Field) -> bool:
    inner = column.base_field if isinstance(column, ArrayField) else column
    texts = (models.CharField, models.TextField, models.JSONField)
    return isinstance(inner, texts) and not inner.choices


def _is_marked(model: type[models.Model], column: str, condition: str, world: World) -> bool:
    statement = (
        f"SELECT 1 FROM {model._meta.db_table} t WHERE ({condition}) AND t.{column}::text LIKE %(word)s"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, {"org": world.org.pk, "word": f"%{world.brand.word}%"})
        return cursor.fetchone() is not None


def test_the_filter_is_on_and_no_environment_turns_it_off() -> None:
    assert settings.TENANT_FILTER is True
    assert "TENANT_FILTER = True\n" in Path(product_settings.__file__).read_text()
