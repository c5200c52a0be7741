"""What the admin classes of all parts share: lists to read, bounded counts, and questions before something is done.

A question is a page of its own, asked by the first POST of an action and by the address of a row's page; only the
POST that says `confirmed` does it, and only to the rows that the page has named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from unfold.views import ChangeList

from orgs.admin_scoping import OrgScopedAdmin, sees_all
from orgs.exceptions import Conflict, InvalidInput, SmartQueueError
from orgs.models import User
from orgs.scoping import require

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

MOST_COUNTED = 10_000
MOST_AT_ONCE = 500
MOST_NAMED = 20
MOST_PROBLEMS = 10


class CappedPaginator(_Paginator):
    """Counts no further than MOST_COUNTED rows: a list of millions opens as fast as one of hundreds."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:MOST_COUNTED].count())


class ReadOnlyAdmin(OrgScopedAdmin):
    """`empty_list` is the sentence of a list without rows where nobody filters or searches."""

    show_full_result_count = False
    paginator = CappedPaginator
    list_per_page = 50
    list_fullwidth = True
    empty_value_display = "\N{EN DASH}"
    list_after_template = "admin/_end_of_list.html"
    empty_list = ""
    most_counted = MOST_COUNTED

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Whose a row is says nothing where all are of one organisation."""
        shown = list(super().get_list_display(request))
        return shown if sees_all(request) else [name for name in shown if name != "org"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return QuietChangeList

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class QuietChangeList(ChangeList):
    """Says how many of how many only where something is filtered."""

    full_result_count: int | None
    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.full_result_count is None and not (self.query or self.has_active_filters):
            self.full_result_count = self.result_count


class LoadedChangeList(QuietChangeList):
    """Hands the rows of the page to the admin's `load`, so that what they need is read for all of them at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        self.model_admin.load(self.result_list)


class ToldAdmin(OrgScopedAdmin):
    """What services refuse is told on the page that it came from, and nothing is saved."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._told(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._told(request, super().delete_view, *args, **kwargs)

    def _told(
        self, request: HttpRequest, view: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            answer: HttpResponse = view(request, *args, **kwargs)
            return answer
        except (Conflict, InvalidInput) as error:
            self.message_user(request, error.message, messages.ERROR)
            return redirect(request.get_full_path())


@dataclass(frozen=True)
class Question:
    """What is about to be done: `text` says what it means, `named` to which rows, `notes` what is left out and why.

    `asks_for` is the label of a text that has to be given with it; it arrives as POST["text"].
    """

    title: str
    text: str
    button: str
    danger: bool = False
    ids: list[Any] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asks_for: str = ""

    @property
    def more(self) -> int:
        """How many rows are not named."""
        return len(self.ids) - len(self.named)


def actor(request: HttpRequest) -> User:
    """Who does it; every page of the site has asked for the role already."""
    assert isinstance(request.user, User)
    return request.user


def is_confirmed(request: HttpRequest) -> bool:
    return request.method == "POST" and request.POST.get("confirmed") == "yes"


def ask(admin: OrgScopedAdmin, request: HttpRequest, question: Question) -> HttpResponse:
    """The page with the question. It posts back to its own address, an action with the ids of its rows."""
    context = {
        **admin.admin_site.each_context(request),
        "title": question.title,
        "opts": admin.opts,
        "question": question,
        "checkbox": ACTION_CHECKBOX_NAME,
        "action": request.POST.get("action", ""),
        "back": request.get_full_path() if request.POST.get("action") else "../change/",
    }
    request.current_app = admin.admin_site.name
    return TemplateResponse(request, "admin/confirm_action.html", context)


def chosen(rows: QuerySet[Any], *, only: Iterable[str] = ()) -> tuple[list[Any], int]:
    """At most MOST_AT_ONCE of `rows`, newest first, and how many more there are (counted up to MOST_COUNTED)."""
    ordered = rows.select_related(None).order_by("-pk")
    found = list((ordered.only(*only) if only else ordered)[:MOST_AT_ONCE])
    if len(found) < MOST_AT_ONCE:
        return found, 0
    return found, ordered.values("pk")[:MOST_COUNTED].count() - len(found)


def do_each(
    admin: OrgScopedAdmin, request: HttpRequest, rows: Iterable[Any], do: Callable[[Any], object], done: str
) -> None:
    """Does it to each row and tells how it went; `done` has a place for the number: "{} cancelled."."""
    count, refused = 0, list[str]()
    for row in rows:
        try:
            do(row)
            count += 1
        except SmartQueueError as error:
            refused.append(f"{row}: {error.message}")
    if count:
        admin.message_user(request, done.format(f"{count:,}"), messages.SUCCESS)
    if len(refused) > MOST_PROBLEMS:
        refused[MOST_PROBLEMS:] = [f"And {len(refused) - MOST_PROBLEMS:,} more."]
    for problem in refused:
        admin.message_user(request, problem, messages.WARNING)


def row_page(
    admin: OrgScopedAdmin,
    request: HttpRequest,
    object_id: str,
    question: Callable[[Any], Question],
    do: Callable[[Any], str],
    *,
    needs: str,
) -> HttpResponse:
    """A page that asks before something is done to one row. `do` returns what to tell.

    A stranger gets 404, a member whose role does not allow the action `needs` 403.
    """
    row = admin.get_object(request, unquote(object_id))
    if row is None or not admin.has_view_permission(request, row):
        raise Http404
    require(request.user, needs)
    if not is_confirmed(request):
        return ask(admin, request, question(row))
    try:
        admin.message_user(request, do(row), messages.SUCCESS)
    except SmartQueueError as error:
        admin.message_user(request, error.message, messages.ERROR)
    return redirect("../change/")


def named(rows: Iterable[Any]) -> list[str]:
    return [str(row) for row in list(rows)[:MOST_NAMED]]
