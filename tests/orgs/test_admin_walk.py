"""Each registered ModelAdmin of the real site, seen by Acme's org admin while Globex has rows of every kind.

A class that somebody registers is walked without being named here.
"""

from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.urls import NoReverseMatch, reverse

from jobs.models import Worker
from orgs.admin_scoping import OrgScopedAdmin
from orgs.admin_site import site
from orgs.models import User
from tests.orgs.conftest import FOREIGN_ID, OWN_ID, World, leaks, more_rows

MODELS = sorted(site._registry, key=lambda model: model._meta.label)
EVERY_MODEL = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label_lower)
PAGES_OF_A_ROW = ["change", "delete", "history"]


def address(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def ours(ours: World) -> World:
    # Workers are nobody's: every organisation sees them.
    worker = Worker.objects.create(worker_id=str(OWN_ID), hostname="host-1", pid=1, concurrency=1)
    ours.others += [*more_rows(ours, "ours"), worker]
    return ours


@pytest.fixture
def theirs(theirs: World) -> World:
    theirs.others += more_rows(theirs, "SECRET")
    return theirs


def test_every_class_is_scoped() -> None:
    assert User in site._registry
    assert all(isinstance(admin, OrgScopedAdmin) for admin in site._registry.values())


@EVERY_MODEL
@pytest.mark.parametrize("query", ["", "?q=SECRET", "?all=", "?o=1.2.3.-4", "?_facets=True", "?_popup=1&e=1"])
def test_lists(admin_of_ours: Client, model: type[Model], query: str) -> None:
    answer = admin_of_ours.get(address(model, "changelist") + query)
    assert answer.status_code in {200, 302, 403}
    assert not leaks(answer)


@EVERY_MODEL
def test_no_column_can_be_guessed_letter_by_letter(admin_of_ours: Client, model: type[Model]) -> None:
    for field in model._meta.get_fields():
        answer = admin_of_ours.get(f"{address(model, 'changelist')}?{field.name}__startswith=S")
        assert answer.status_code in {400, 403}
        assert not leaks(answer)


@EVERY_MODEL
def test_lookups_across_relations(admin_of_ours: Client, model: type[Model]) -> None:
    for field in (field for field in model._meta.get_fields() if field.is_relation):
        for lookup in ("name__startswith=S", "org__id__exact=987654321", f"id__exact={FOREIGN_ID}"):
            answer = admin_of_ours.get(f"{address(model, 'changelist')}?{field.name}__{lookup}")
            assert answer.status_code in ({200, 400, 403} if lookup.startswith("id") else {400, 403})
            assert not leaks(answer)


@EVERY_MODEL
def test_add_forms(admin_of_ours: Client, model: type[Model]) -> None:
    for query in ("", f"?org={FOREIGN_ID}&user={FOREIGN_ID}&job={FOREIGN_ID}", "?_popup=1&_to_field=id"):
        answer = admin_of_ours.get(address(model, "add") + query)
        assert answer.status_code in {200, 400, 403}
        assert not leaks(answer)


@EVERY_MODEL
@pytest.mark.parametrize("page", PAGES_OF_A_ROW)
def test_pages_of_a_strangers_row(
    admin_of_ours: Client, theirs: World, model: type[Model], page: str
) -> None:
    before = list(model._default_manager.values())
    for method in (admin_of_ours.get, admin_of_ours.post):
        answer = method(
            address(model, page, FOREIGN_ID), {"post": "yes", "name": "stolen", "username": "stolen"}
        )
        assert answer.status_code in {302, 403, 404, 405}
        assert not leaks(answer)
    assert list(model._default_manager.values()) == before


@EVERY_MODEL
def test_a_strangers_row_looks_like_none(admin_of_ours: Client, theirs: World, model: type[Model]) -> None:
    def answers(pk: int) -> list[tuple[int, str]]:
        pages = [admin_of_ours.get(address(model, page, pk)) for page in PAGES_OF_A_ROW]
        return [(page.status_code, page.headers.get("Location", "").replace(str(pk), "")) for page in pages]

    assert answers(FOREIGN_ID) == answers(123_456_789)


@EVERY_MODEL
@pytest.mark.parametrize("page", PAGES_OF_A_ROW)
def test_pages_of_an_own_row(admin_of_ours: Client, ours: World, model: type[Model], page: str) -> None:
    row = {type(row): row for row in ours.rows()}.get(model)
    if row is None:
        assert admin_of_ours.get(address(model, "changelist")).status_code == 403
        return
    answer = admin_of_ours.get(address(model, page, row.pk))
    assert answer.status_code in ({200, 403} if page == "delete" else {200})
    assert not leaks(answer)


@EVERY_MODEL
def test_actions_with_a_strangers_id(admin_of_ours: Client, theirs: World, model: type[Model]) -> None:
    before = model._default_manager.count()
    names = {*site._registry[model].actions, "delete_selected"}
    for name in names:
        form = {"action": name, "_selected_action": [FOREIGN_ID], "post": "yes", "index": "0"}
        answer = admin_of_ours.post(address(model, "changelist"), form)
        assert answer.status_code in {200, 302, 403}
        assert not leaks(answer)
    assert model._default_manager.count() == before
    theirs.job.refresh_from_db()
    assert (theirs.job.status, theirs.job.cancel_requested) == ("queued", False)


ROW_ACTIONS = [
    (model, name)
    for model in MODELS
    for name in site._registry[model]._extract_action_names(site._registry[model].actions_detail)
]


@pytest.mark.parametrize(("model", "name"), ROW_ACTIONS, ids=lambda part: getattr(part, "__name__", part))
def test_actions_on_the_page_of_a_strangers_row(
    admin_of_ours: Client, theirs: World, model: type[Model], name: str
) -> None:
    before = list(model._default_manager.order_by("pk").values())
    for method in (admin_of_ours.get, admin_of_ours.post):
        answer = method(address(model, name, FOREIGN_ID), {"confirmed": "yes", "text": "SECRET-Globex"})
        assert answer.status_code == 404
        assert not leaks(answer)
    assert list(model._default_manager.order_by("pk").values()) == before


@EVERY_MODEL
def test_confirmed_actions_with_a_strangers_id(
    admin_of_ours: Client, theirs: World, model: type[Model]
) -> None:
    row = {type(row): row for row in theirs.rows()}.get(model)
    before = list(model._default_manager.order_by("pk").values())
    for name in site._registry[model].actions:
        form = {
            "action": name,
            "_selected_action": [row.pk if row else FOREIGN_ID],
            "confirmed": "yes",
            "index": "0",
        }
        answer = admin_of_ours.post(address(model, "changelist"), form, follow=True)
        assert answer.status_code in {200, 403}
        assert not leaks(answer)
    assert list(model._default_manager.order_by("pk").values()) == before


@pytest.mark.parametrize(
    "query",
    [
        f"auditentry/?by={FOREIGN_ID}",
        "auditentry/?by=x",
        f"auditentry/?by={'9' * 40}",
        "auditentry/?did=SECRET.done",
    ],
)
def test_filters_of_the_audit_log(admin_of_ours: Client, query: str) -> None:
    answer = admin_of_ours.get(f"/admin/orgs/{query}", follow=True)
    assert answer.status_code == 200
    assert not leaks(answer)


def test_a_strangers_queue_is_no_filter(admin_of_ours: Client) -> None:
    answer = admin_of_ours.get("/admin/jobs/job/?in_queue=SECRET-queue", follow=True)
    assert answer.status_code == 200
    assert not leaks(answer)


@EVERY_MODEL
def test_autocomplete(admin_of_ours: Client, model: type[Model]) -> None:
    for field in (field for field in model._meta.get_fields() if field.is_relation):
        query = {
            "app_label": model._meta.app_label,
            "model_name": model._meta.model_name,
            "field_name": field.name,
        }
        for term in ("", "SECRET"):
            answer = admin_of_ours.get("/admin/autocomplete/", {**query, "term": term})
            assert answer.status_code in {200, 403, 404}
            assert not leaks(answer)


def test_view_on_site_is_gone(platform: Client) -> None:
    """/admin/r/ would lead to the page of any row of any organisation."""
    with pytest.raises(NoReverseMatch):
        reverse("admin:view_on_site", args=[1, FOREIGN_ID])
    kind = ContentType.objects.get_for_model(User)
    assert platform.get(f"/admin/r/{kind.pk}/{FOREIGN_ID}/").status_code == 404
    assert not any(admin.view_on_site for admin in site._registry.values())


@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/orgs/", "/admin/jobs/", "/admin/usage/", "/admin/search/?s=secret",
             "/admin/search/?s=e&extended=1", "/admin/password_change/", "/admin/jsi18n/", "/admin/no/such/page/"]
)  # fmt: skip
def test_pages_of_the_site(admin_of_ours: Client, path: str) -> None:
    answer = admin_of_ours.get(path)
    assert answer.status_code in {200, 404}
    assert not leaks(answer)


@pytest.mark.parametrize("page", ["x", "0", "-1", "99"])
def test_a_bad_page_of_the_search_is_no_server_error(admin_of_ours: Client, page: str) -> None:
    assert admin_of_ours.get(f"/admin/search/?s=users&page={page}").status_code == 404


@EVERY_MODEL
def test_the_walk_would_see_a_leak(platform: Client, theirs: World, model: type[Model]) -> None:
    """The same pages, seen by whoever may: the words are there to be found."""
    row = {type(row): row for row in theirs.rows()}.get(model)
    answer = platform.get(address(model, "changelist"))
    assert answer.status_code == 200
    assert bool(leaks(answer)) or row is None
    if row is not None:
        assert leaks(platform.get(address(model, "change", row.pk))) - {str(FOREIGN_ID)}


@EVERY_MODEL
def test_nobody_else_comes_in(client: Client, bob: User, vera: User, model: type[Model]) -> None:
    User.objects.update(is_staff=True, is_superuser=True)
    for user in (None, bob, vera):
        if user is not None:
            client.force_login(user)
        for path in (address(model, "changelist"), address(model, "add"), address(model, "change", 1)):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["Location"][:14]) == (302, "/admin/login/?")
