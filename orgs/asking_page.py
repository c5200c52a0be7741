"""A page that asks before something is done. The pages of members, pauses, workers and replays are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from orgs.scoping import OrgPageMixin


@dataclass(frozen=True)
class Question:
    """What a page asks before something is done."""

    title: str
    text: str
    button: str
    danger: bool = False


class AskingPage(OrgPageMixin, View):
    """GET asks `question()`, POST does what `carry_out()` does and leads to the address that it gives."""

    def back(self) -> str:
        """Where it was asked for."""
        raise NotImplementedError

    def question(self) -> Question | None:
        """None when there is nothing (more) to do; GET leads back then."""
        raise NotImplementedError

    def carry_out(self) -> str:
        raise NotImplementedError

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        question = self.question()
        if question is None:
            return redirect(self.back())
        return render(request, "confirm.html", {"question": question, "back": self.back()})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return redirect(self.carry_out())
