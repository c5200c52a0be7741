"""The pages of API keys: made with a form, shown once, revoked after a question."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from orgs import api_keys
from orgs.models import ApiKey, User
from tests.pages.conftest import Browse

LIST, NEW = "/dashboard/keys/", "/dashboard/keys/new/"
FORM = {"name": "nightly", "scopes": ["jobs:read", "jobs:write"], "expires_in_days": "7"}

pytestmark = pytest.mark.django_db


def make(user: User, name: str = "nightly") -> ApiKey:
    return api_keys.create(user=user, name=name, scopes=["jobs:read"])[0]


def test_a_key_is_made_and_shown_once(browse: Browse, bob: User) -> None:
    client = browse(bob)
    assert "There are no API keys yet" in client.get(LIST).text
    form = client.get(NEW).text
    assert "submit a job, replay one that has ended" in form
    assert "members:write" not in form
    answer = client.post(NEW, FORM)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    [secret] = re.findall(r"sq_[a-z0-9]{8}_[\w-]{43}", answer.text)
    key = ApiKey.objects.get()
    assert (key.secret_hash, key.scopes) == (api_keys.hash_of(secret), ["jobs:read", "jobs:write"])
    listed = client.get(LIST).text
    assert secret not in listed
    for words in (f"{key.prefix}…", "jobs:read, jobs:write", "in force", "never", "Your keys"):
        assert words in listed


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"scopes": []}, {"scopes": ["platform:write"]}, {"expires_in_days": "999"}]
)
def test_a_wrong_form_is_shown_again(browse: Browse, bob: User, wrong: dict[str, str]) -> None:
    answer = browse(bob).post(NEW, {**FORM, **wrong})
    assert answer.status_code == 422
    assert 'class="errorlist"' in answer.text
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_after_a_question(browse: Browse, bob: User) -> None:
    key, client = make(bob), browse(bob)
    path = f"{LIST}{key.pk}/revoke/"
    assert path in client.get(LIST).text
    assert "Revoke the API key nightly?" in client.get(path).text
    assert client.post(path).headers["Location"] == LIST
    key.refresh_from_db()
    assert key.revoked_at is not None
    page = client.get(LIST).text
    assert "revoked" in page
    assert path not in page
    assert client.get(path).headers["Location"] == LIST


def test_who_sees_which_keys(browse: Browse, alice: User, bob: User, vera: User, charlie: User) -> None:
    make(bob, "key of bob")
    key = make(alice, "key of alice")
    page = browse(alice).get(LIST).text
    for words in ("key of bob", "key of alice", "Keys of all members", "Acts for"):
        assert words in page
    assert "key of alice" not in browse(bob).get(LIST).text
    assert "key of" not in browse(charlie).get(LIST).text
    assert browse(vera).get(LIST).status_code == 403
    for user, status in ((bob, 404), (charlie, 404), (vera, 403)):
        for method in ("get", "post"):
            assert getattr(browse(user), method)(f"{LIST}{key.pk}/revoke/").status_code == status
    key.refresh_from_db()
    assert key.revoked_at is None


def test_expired_keys_come_last_and_cannot_be_revoked(browse: Browse, bob: User) -> None:
    old, new = make(bob, "an old key"), make(bob, "a new key")
    ApiKey.objects.filter(pk=new.pk).update(expires_at=timezone.now() - timedelta(days=1))
    page = browse(bob).get(LIST).text
    assert page.index("an old key") < page.index("a new key")
    assert f"revoke-{old.pk}" in page
    assert f"revoke-{new.pk}" not in page


def test_a_platform_admin_without_an_organisation_makes_none(
    browse: Browse, root_admin: User, bob: User
) -> None:
    make(bob)
    client = browse(root_admin)
    page = client.get(LIST).text
    assert NEW not in page
    assert "Acme" in page
    assert client.post(NEW, FORM).status_code == 422
