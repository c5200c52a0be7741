"""Ten thousand bearer tokens that are none: always 401, in one shape, and never an error of ours."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.urls import resolve
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pytest_django import Settings
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory

from orgs import api_keys, jwt, tokens
from orgs.authentication import JWTAuthentication
from orgs.models import User
from smartqueue.errors import problem_of

BATCHES, BATCH = 50, 200
WHOLE_VIEW = 20  # each so-many-th token is brought to a view
BASE64 = string.ascii_letters + string.digits + "-_"
# What a header can hold at all.
LATIN = "".join(map(chr, range(32, 256)))
CLAIMS = ("iss", "aud", "sub", "iat", "exp", "jti")
VALUES = (None, True, "", "x", -1, 0, 1, 2**70, 1e300, [], {}, "smartqueue", ["smartqueue"], "9" * 30, "-1")

factory = APIRequestFactory()

Mutation = Callable[[Random, str], str]


def _cut(random: Random, token: str) -> str:
    return token[: random.randrange(len(token))]


def _swap(random: Random, token: str) -> str:
    place = random.randrange(len(token))
    return token[:place] + random.choice(BASE64 + ".=") + token[place + 1 :]


def _insert(random: Random, token: str) -> str:
    place = random.randrange(1, len(token))
    return token[:place] + random.choice(LATIN) + token[place:]


def _shuffle(random: Random, token: str) -> str:
    parts = token.split("." if "." in token else "_")
    random.shuffle(parts)
    return random.choice((".", "_", "..")).join(parts)


def _noise(random: Random, token: str) -> str:
    return "".join(random.choices(random.choice((LATIN, BASE64, BASE64 + ".")), k=random.randrange(300)))


def _noise_behind_start(random: Random, token: str) -> str:
    return (
        "sq_"
        + "".join(random.choices(BASE64.lower(), k=8))
        + "_"
        + "".join(random.choices(BASE64, k=random.choice((0, 42, 43, 44))))
    )


def _long(random: Random, token: str) -> str:
    return token * random.randrange(2, 40)


def _other_header(random: Random, token: str) -> str:
    header = {"alg": random.choice(("none", "HS512", "RS256", "", None)), "typ": "JWT"}
    return ".".join((jwt._to_base64(json.dumps(header).encode()), *token.split(".")[-2:]))


def _wrong_claims(random: Random, token: str) -> str:
    """Signed as ours are, but saying something that ours do not."""
    claims: dict[str, Any] = jwt._object(
        jwt._from_base64(tokens.issue_access_token(User(pk=2**62)).split(".")[1])
    )
    name = random.choice(CLAIMS)
    if random.random() < 0.3:
        del claims[name]
    else:
        claims[name] = random.choice(VALUES)
    return jwt.encode(claims, secret=django_settings.JWT_SECRET)


def _forged(random: Random, token: str) -> str:
    secret = "".join(random.choices(BASE64, k=40))
    return jwt.encode(dict.fromkeys(CLAIMS, "1"), secret=secret)


MUTATIONS: tuple[Mutation, ...] = (
    _cut, _swap, _insert, _shuffle, _noise, _noise_behind_start, _long, _other_header, _wrong_claims, _forged,
)  # fmt: skip


def asked(token: str) -> Any:
    """What the view says, without the middleware, for the sake of speed."""
    return resolve("/orgs/me").func(factory.get("/orgs/me", headers={"authorization": f"Bearer {token}"}))


def refusal_of(token: str) -> tuple[Any, ...]:
    """What `answer_to` gives, without the view around it: that takes ten times as long."""
    request = Request(factory.get("/orgs/me", headers={"authorization": f"Bearer {token}"}))
    with pytest.raises(AuthenticationFailed) as refused:
        JWTAuthentication().authenticate(request)
    refused.value.auth_header = JWTAuthentication().authenticate_header(request)  # type: ignore[attr-defined]
    problem = problem_of(refused.value)
    assert problem is not None
    body = problem.body()
    headers = problem.headers["WWW-Authenticate"]
    return problem.status, body["error"]["code"], set(body), set(body["error"]), headers


def answer_to(token: str) -> tuple[Any, ...]:
    """Status, error code, and the shape of body and headers."""
    answer = asked(token)
    answer.render()
    body = json.loads(answer.content)
    assert isinstance(body["error"]["message"], str)
    return (
        answer.status_code,
        body["error"]["code"],
        set(body),
        set(body["error"]),
        answer["WWW-Authenticate"],
    )


@pytest.fixture
def valid(bob: User) -> list[str]:
    return [tokens.issue_access_token(bob), api_keys.create(user=bob, name="x", scopes=["jobs:read"])[1]]


def test_ten_thousand_tokens_that_are_none_get_the_same_answer(valid: list[str]) -> None:
    seen = set()

    @settings(
        max_examples=BATCHES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64))
    def ask(seed: int) -> None:
        random = Random(seed)
        for place in range(BATCH):
            token = random.choice(MUTATIONS)(random, random.choice(valid))
            while token in seen or token.strip() in valid:
                token = random.choice(MUTATIONS)(random, random.choice(valid))
            seen.add(token)
            told = refusal_of(token) if place % WHOLE_VIEW else answer_to(token)
            assert told == REFUSED, repr(token)

    ask()
    assert len(seen) == BATCHES * BATCH


REFUSED = (401, "invalid_token", {"error"}, {"code", "message"}, "Bearer")


@pytest.mark.parametrize(
    "token", ["", ".", "..", "sq_", "a.b.c", "\xff" * 20, "sq_" + "\xe9" * 52, "x" * 8000]
)
def test_the_whole_site_answers_so(db: None, token: str) -> None:
    client = APIClient(headers={"authorization": f"Bearer {token}"})
    for path in ("/orgs/me", "/jobs/", "/orgs/me/keys"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert set(answer.json()["error"]) == {"code", "message"}


def claims_of(user: User, **changed: Any) -> dict[str, Any]:
    """The claims of a valid token; those that are `...` are left out."""
    issued = jwt._object(jwt._from_base64(tokens.issue_access_token(user).split(".")[1]))
    return {name: value for name, value in {**issued, **changed}.items() if value is not ...}


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "elsewhere"},
        {"aud": ...},
        {"iss": "elsewhere"},
        {"exp": 1},
        {"exp": ...},
        {"iat": 2**40, "exp": 2**41},
        {"sub": "0"},
        {"jti": ...},
    ],
)
def test_claims_that_are_not_ours_are_refused(bob: User, settings: Settings, changed: dict[str, Any]) -> None:
    assert answer_to(jwt.encode(claims_of(bob, **changed), secret=settings.JWT_SECRET)) == REFUSED


def test_a_token_of_a_retired_secret_is_refused(bob: User, settings: Settings) -> None:
    old = tokens.issue_access_token(bob)
    kept, settings.JWT_SECRET = settings.JWT_SECRET, "n" * 40
    assert answer_to(old) == REFUSED
    settings.JWT_PREVIOUS_SECRETS = [kept]
    assert asked(old).status_code == 200
