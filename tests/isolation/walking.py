"""Somebody of one organisation who asks for what another one owns: what comes back, and what has changed?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlencode

from django.db import transaction
from django.test import Client

from orgs import tokens
from orgs.models import Organization, User
from tests.isolation.world import World, fingerprint

SAFE = ("GET", "HEAD", "OPTIONS")
NO_SUCH_METHOD = 405
METHODS = (*SAFE, "POST", "PUT", "PATCH", "DELETE")


@dataclass
class Walker:
    """Sends one request after the other and notes in `found` what should not be; each is taken back."""

    home: World
    far: World
    client: Client
    name: str
    headers: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    visits: int = 0
    _before: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: Any = None, *, form: bool = False, may_write: str = ""
    ) -> Any:
        """The answer. `form`: the body goes as browsers send it. `may_write`: tables that doors write for all."""
        self._before = self._before or fingerprint(self.home.org.pk)
        content = "" if body is None else urlencode(body, doseq=True) if form else json.dumps(body)
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        with transaction.atomic():
            answer = self.client.generic(method, path, content, kind, headers=self.headers)
            self._look(answer, f"{method} {path} {content}"[:300], f"{path} {content}")
            if method not in SAFE and answer.status_code != NO_SUCH_METHOD:
                self._compare(f"{method} {path} {content}"[:300], may_write)
            transaction.set_rollback(True)
        self.visits += 1
        return answer

    def ask_all(self, methods: Iterable[str], path: str, bodies: Iterable[Any] = (None,), **how: Any) -> None:
        """Each method, those that take one with each of the bodies."""
        for method in methods:
            for body in [None] if method in SAFE else bodies:
                if self.ask(method, path, body, **how).status_code == NO_SUCH_METHOD:
                    break

    def check(self) -> None:
        """At the end of a walk: nothing was found, and nothing has changed behind a request that only reads."""
        self._compare("the whole walk", "")
        assert self.visits, "nothing was visited"
        assert not self.found, "\n".join(self.found)

    def leaks(self, text: str, asked: str = "") -> set[str]:
        """What `text` tells of the other organisation beside what was named in the question."""
        named = {word.lower() for word in self.far.brand.telling.findall(unquote_plus(asked))}
        told = {word.replace(",", "").lower() for word in self.far.brand.telling.findall(text)}
        return told - named

    def _look(self, answer: Any, what: str, asked: str) -> None:
        if answer.status_code >= 500:
            self.found.append(f"{self.name}: {what}: {answer.status_code}")
        # The id of a request is random digits, which once in a while look like an id.
        heads = " ".join(
            f"{name}: {value}" for name, value in answer.headers.items() if name != "X-Request-ID"
        )
        text = answer.getvalue().decode(errors="replace") + heads + answer.cookies.output()
        if leaks := self.leaks(text, asked):
            self.found.append(f"{self.name}: {what}: {answer.status_code} tells {sorted(leaks)}")

    def _compare(self, what: str, may_write: str) -> None:
        after = fingerprint(self.home.org.pk)
        changed = {table for table in after if after[table] != self._before[table]} - set(may_write.split())
        if changed:
            self.found.append(f"{self.name}: {what}: has changed {sorted(changed)}")


def walkers(worlds: tuple[World, World]) -> dict[str, Callable[[], Walker]]:
    """By the name of a kind of person: one of Acme, and Globex's org admin as the mirror image."""
    acme, globex = worlds
    return {
        "boss": lambda: _in_browser(acme, globex, acme.boss, "Acme's org admin"),
        "viewer": lambda: _in_browser(acme, globex, acme.viewer, "Acme's viewer"),
        "blind-viewer": lambda: _blind(acme, globex),
        "key": lambda: _with_key(acme, globex),
        "mirror": lambda: _in_browser(globex, acme, globex.boss, "Globex's org admin"),
    }


def bearer(walker: Walker, user: User) -> Walker:
    """The same person, by an access token."""
    walker.headers = {"Authorization": f"Bearer {tokens.issue_access_token(user)}"}
    walker.client = Client(raise_request_exception=False)
    return walker


def _in_browser(home: World, far: World, user: User, name: str) -> Walker:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return Walker(home, far, client, name)


def _blind(home: World, far: World) -> Walker:
    Organization.objects.filter(pk=home.org.pk).update(viewers_see_content=False)
    return _in_browser(home, far, home.viewer, "Acme's viewer without content")


def _with_key(home: World, far: World) -> Walker:
    headers = {"Authorization": f"Bearer {home.key}"}
    return Walker(home, far, Client(raise_request_exception=False), "Acme's API key", headers)
