"""Every registered class of the Django admin, and every page of the site, with the other organisation's ids."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.urls import reverse
from django.utils.http import urlencode

from orgs.admin_site import site
from tests.isolation import routes
from tests.isolation.conftest import FILTERED, WALL_ALONE
from tests.isolation.walking import Walker
from tests.isolation.world import World

pytestmark = pytest.mark.django_db
MODELS = sorted(site._registry, key=lambda model: model._meta.label)
ROUTES = [route for route in routes.all_routes() if route.name.startswith("admin:")]
BOTH = pytest.mark.parametrize("walker", [("boss", FILTERED), ("boss", WALL_ALONE)], indirect=True)
ALONE = pytest.mark.parametrize("walker", [("boss", WALL_ALONE), ("mirror", WALL_ALONE)], indirect=True)
# What nobody owns has rows of everybody.
NOBODYS = {"worker", "schedulerleader", "modelversion"}


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def key(model: type[Model], world: World) -> Any:
    """The id of the planted row; of what nobody owns, that of no row."""
    name = model._meta.model_name or ""
    return "0" if name in NOBODYS else world.id_of(name)


@pytest.mark.parametrize("walker", [("boss", WALL_ALONE)], indirect=True)
def test_lists_filters_and_lookups(walker: Walker) -> None:
    for model in MODELS:
        path = address(model, "changelist")
        for query in _queries(model, walker.far):
            walker.ask("GET", f"{path}?{query}")
    walker.check()


def _queries(model: type[Model], far: World) -> Iterator[str]:
    word, pk = far.brand.word, key(model, far)
    yield from (
        "",
        "all=",
        "o=1.2.3.-4",
        "_facets=True",
        "_popup=1&_to_field=id",
        "e=1",
        f"q={word}",
        f"q={pk}",
    )
    yield from (
        urlencode(pair)
        for pair in ({"q": far.text("queue")}, {"q": far.boss.username}, {"q": far.text("tag")})
    )
    for item in site._registry[model].list_filter:
        name = item[0] if isinstance(item, tuple) else getattr(item, "parameter_name", item)
        yield from (urlencode({name: value}) for value in (far.org.pk, far.text("queue")))
        yield urlencode({f"{name}__id__exact": far.boss.pk})
    for column in model._meta.get_fields():
        yield urlencode({f"{column.name}__startswith": word[0]})
        if column.is_relation:
            yield urlencode({f"{column.name}__id__exact": far.org.pk})
            yield urlencode({f"{column.name}__name__startswith": word[0]})


@BOTH
def test_pages_and_deeds_of_a_strangers_row(walker: Walker) -> None:
    """Each address of a class that names a row: change, delete, history, password, and whatever a class adds."""
    body = {
        "post": "yes",
        "confirmed": "yes",
        "name": "stolen",
        "username": "stolen",
        "text": walker.far.org.name,
    }
    for route in ROUTES:
        if not route.places:
            continue
        for pk in [key(model, walker.far) for model in MODELS if _belongs(route, model)]:
            path = "/" + re.sub(r"<[^>]*>", str(pk), route.template)
            walker.ask_all(("GET", "POST"), path, [body], form=True)
    walker.check()


def _belongs(route: routes.Route, model: type[Model]) -> bool:
    return route.template.startswith(f"admin/{model._meta.app_label}/{model._meta.model_name}/")


@ALONE
def test_actions_with_a_strangers_ids(walker: Walker) -> None:
    for model in MODELS:
        for name in {*site._registry[model].actions, "delete_selected"}:
            pks = [
                key(model, walker.far),
                *(job.pk for job in walker.far.jobs.values() if "job" in model.__name__.lower()),
            ]
            for more in ({}, {"confirmed": "yes", "post": "yes"}, {"select_across": "1"}):
                form = {"action": name, "_selected_action": pks, "index": "0", **more}
                walker.ask("POST", address(model, "changelist"), form, form=True)
    walker.check()


@BOTH
def test_forms_with_a_strangers_ids(walker: Walker) -> None:
    """Add and change forms of one's own rows: every field that names a row is sent with a foreign one."""
    for model in MODELS:
        own = key(model, walker.home)
        pages = [address(model, "add"), *([address(model, "change", own)] if own != "0" else [])]
        for path in pages:
            walker.ask("GET", f"{path}?{urlencode(_prefilled(walker.far))}")
            answer = walker.ask("GET", path)
            for form in _forged(answer.content.decode(), model, walker.far):
                walker.ask("POST", path, form, form=True)
                walker.ask("POST", f"{path}?_popup=1&_to_field=id", form, form=True)
    walker.check()


def _prefilled(far: World) -> dict[str, Any]:
    return {
        "org": far.org.pk,
        "user": far.boss.pk,
        "job": far.id_of("job"),
        "created_by": far.boss.pk,
        "_popup": 1,
    }


def _forged(html: str, model: type[Model], far: World) -> Iterator[dict[str, Any]]:
    """The form as it is shown, with the ids and the name of the other organisation."""
    shown = dict(re.findall(r'<input[^>]*\bname="([^"]+)"[^>]*\bvalue="([^"]*)"', html))
    named = dict.fromkeys(re.findall(r'<(?:input|select|textarea)\b[^>]*\bname="([^"]+)"', html), "")
    form: dict[str, Any] = {**named, **shown, **_prefilled(far), "role": "user"}
    form.pop("_popup")
    yield form
    yield {**form, "name": far.org.name, "username": far.boss.username, "email": far.boss.email}
    yield {
        **form,
        "id": key(model, far),
        "pk": key(model, far),
        "is_active": "",
        "is_staff": "on",
        "groups": [1],
    }


@BOTH
def test_autocompletion(walker: Walker) -> None:
    for model in [*MODELS, Group, ContentType]:
        for column in (column for column in model._meta.get_fields() if column.is_relation):
            for term in ("", walker.far.brand.word):
                query = {
                    "app_label": model._meta.app_label,
                    "model_name": model._meta.model_name,
                    "field_name": column.name,
                    "term": term,
                }
                walker.ask("GET", f"{reverse('admin:autocomplete')}?{urlencode(query)}")
    walker.check()


@BOTH
def test_pages_of_the_site(walker: Walker) -> None:
    far = walker.far
    terms = [far.brand.word, far.org.name, far.boss.username, str(far.id_of("job")), "e", ""]
    paths = [
        f"/admin/search/?{urlencode({'s': term, **more})}" for term in terms for more in ({}, {"extended": 1})
    ]
    paths += [
        f"/admin/{name}/" for name in ("", "orgs", "jobs", "predictor", "usage", "logout", "no/such/page")
    ]
    paths += [f"/admin/{name}/" for name in ("login", "password_change", "password_change/done", "jsi18n")]
    paths += [f"/admin/usage/?{urlencode({'org': far.org.pk})}"]
    forms = [{}, {"username": far.boss.username, "password": "x"}, {"old_password": "x", "user": far.boss.pk}]
    for path in paths:
        walker.ask_all(
            ("GET", "POST"), path, forms, form=True, may_write=routes.WRITES_ELSEWHERE["admin:login"]
        )
    walker.check()


@BOTH
def test_no_address_leads_to_any_row(walker: Walker) -> None:
    """/admin/r/ of Django would: it asks no ModelAdmin."""
    for model in MODELS:
        kind = ContentType.objects.get_for_model(model)
        assert walker.ask("GET", f"/admin/r/{kind.pk}/{key(model, walker.far)}/").status_code == 404
    walker.check()


@pytest.mark.parametrize("walker", [("viewer", WALL_ALONE)], indirect=True)
def test_nobody_else_comes_in(walker: Walker) -> None:
    for model in MODELS:
        assert walker.ask("GET", address(model, "changelist")).status_code == 302
        for page in ("change", "delete", "history"):
            assert walker.ask("POST", address(model, page, key(model, walker.far)), {}).status_code == 302
    walker.check()


@pytest.mark.parametrize("walker", [("boss", FILTERED)], indirect=True)
def test_own_rows_are_found_by_the_same_walk(walker: Walker) -> None:
    walker.far = walker.home
    of_every_page = walker.leaks(walker.ask("GET", "/admin/").content.decode())
    for model in (model for model in MODELS if model._meta.model_name not in NOBODYS):
        page = walker.ask("GET", address(model, "change", key(model, walker.home))).content.decode()
        assert walker.leaks(page) - of_every_page or model._meta.model_name in {"user", "organization"}
