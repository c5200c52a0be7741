"""The base of the dashboard's live pages. Errors become pages in `smartqueue.middleware`."""

from __future__ import annotations

from typing import Any

from django.views.generic import TemplateView

from orgs.live import LiveView, group_of
from orgs.scoping import OrgPageMixin


class LivePage(OrgPageMixin, TemplateView):
    """A page with a socket, whose address is the page's own one behind `/live`.

    Its template includes the fragments of `view`, each as
    `{% include "that/_fragment.html" with name=name only %}`: so the page has what the socket sends.
    """

    view: LiveView

    @property
    def action_needed(self) -> str:  # type: ignore[override]
        return self.view.action_needed

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        objects = self.view.load(self.user, self.request.GET, **self.kwargs)
        return super().get_context_data(**kwargs, **objects, live=group_of(self.user) is not None)
