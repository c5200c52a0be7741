"""Our tokens against PyJWT's, and against everything that is not a token."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgs import jwt

SECRET, OLD, OTHER = "s" * 40, "o" * 40, "x" * 40
NOW = 1_800_000_000
CLAIMS: dict[str, Any] = {
    "iss": "smartqueue", "aud": "smartqueue", "sub": "7", "iat": NOW, "exp": NOW + 60, "jti": "a",
}  # fmt: skip


def decode(
    token: str, *, secrets: tuple[str, ...] = (SECRET,), now: float = NOW + 1, leeway_s: float = 5
) -> dict[str, Any]:
    return jwt.decode(
        token, secrets=secrets, issuer="smartqueue", audience="smartqueue", now=now, leeway_s=leeway_s
    )


def by_hand(header: Any, claims: Any = CLAIMS, secret: str = SECRET) -> str:
    """A correctly signed token with any header and any claims."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    signed = ".".join(jwt._to_base64(part) for part in parts)
    return f"{signed}.{jwt._to_base64(jwt._sign(signed, secret))}"


HEADER = {"alg": "HS256", "typ": "JWT"}


def test_round_trip() -> None:
    assert decode(jwt.encode(CLAIMS, secret=SECRET)) == CLAIMS


def test_pyjwt_accepts_ours() -> None:
    options = {"verify_exp": False, "verify_iat": False}
    ours = jwt.encode(CLAIMS, secret=SECRET)
    read = pyjwt.decode(
        ours, SECRET, algorithms=["HS256"], audience="smartqueue", issuer="smartqueue", options=options
    )
    assert read == CLAIMS
    assert pyjwt.get_unverified_header(ours)["kid"] == jwt.key_id(SECRET)


@pytest.mark.parametrize("headers", [None, {"kid": jwt.key_id(SECRET)}])
def test_we_accept_pyjwts(headers: dict[str, str] | None) -> None:
    assert decode(pyjwt.encode(CLAIMS, SECRET, algorithm="HS256", headers=headers)) == CLAIMS


def test_pyjwt_refuses_ours_with_another_secret() -> None:
    with pytest.raises(pyjwt.InvalidSignatureError):
        pyjwt.decode(jwt.encode(CLAIMS, secret=SECRET), OTHER, algorithms=["HS256"], audience="smartqueue")


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_another_algorithm_is_refused(algorithm: str) -> None:
    key = None if algorithm == "none" else SECRET * 2
    with pytest.raises(jwt.InvalidToken, match="HS256"):
        decode(pyjwt.encode(CLAIMS, key, algorithm=algorithm), secrets=(SECRET * 2,))


@pytest.mark.parametrize("alg", ["none", "None", "hs256", "HS512", "", None, 5, ["HS256"]])
def test_the_header_does_not_choose_the_algorithm(alg: Any) -> None:
    with pytest.raises(jwt.InvalidToken, match="HS256"):
        decode(by_hand({"alg": alg}))


def test_a_missing_algorithm_is_refused() -> None:
    with pytest.raises(jwt.InvalidToken, match="HS256"):
        decode(by_hand({"typ": "JWT"}))


def test_after_a_rotation_old_tokens_still_count() -> None:
    token = jwt.encode(CLAIMS, secret=OLD)
    assert decode(token, secrets=(SECRET, OLD)) == CLAIMS


def test_tokens_of_a_removed_secret_are_refused() -> None:
    with pytest.raises(jwt.InvalidToken, match="signature"):
        decode(jwt.encode(CLAIMS, secret=OLD), secrets=(SECRET,))


def test_without_kid_every_secret_is_tried() -> None:
    assert decode(by_hand(HEADER, secret=OLD), secrets=(SECRET, OLD)) == CLAIMS


@pytest.mark.parametrize("kid", [jwt.key_id(OTHER), "", 5, None, {"a": 1}])
def test_a_kid_of_no_secret_is_refused(kid: Any) -> None:
    with pytest.raises(jwt.InvalidToken, match="signature"):
        decode(by_hand({**HEADER, "kid": kid}))


def test_a_kid_does_not_replace_the_signature() -> None:
    with pytest.raises(jwt.InvalidToken, match="signature"):
        decode(by_hand({**HEADER, "kid": jwt.key_id(SECRET)}, secret=OTHER))


@pytest.mark.parametrize("crit", [["exp"], ["unknown"], [], "exp"])
def test_crit_is_refused(crit: Any) -> None:
    with pytest.raises(jwt.InvalidToken, match="extension"):
        decode(by_hand({**HEADER, "crit": crit}))


def test_every_cut_is_refused() -> None:
    token = jwt.encode(CLAIMS, secret=SECRET)
    for length in range(len(token)):
        with pytest.raises(jwt.InvalidToken):
            decode(token[:length])


def test_every_changed_character_is_refused() -> None:
    token = jwt.encode(CLAIMS, secret=SECRET)
    for index, old in enumerate(token):
        with pytest.raises(jwt.InvalidToken):
            decode(token[:index] + ("A" if old != "A" else "B") + token[index + 1 :])


@pytest.mark.parametrize("form", ["{}=", "{}\n", " {}", "{}.", "{}é"])
def test_other_spellings_are_refused(form: str) -> None:
    with pytest.raises(jwt.InvalidToken):
        decode(form.format(jwt.encode(CLAIMS, secret=SECRET)))


def test_second_spelling_of_the_same_bytes_is_refused() -> None:
    head, payload, signature = jwt.encode(CLAIMS, secret=SECRET).split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 32 bytes leave the last character two bits that mean nothing.
    sibling = alphabet[alphabet.index(signature[-1]) ^ 1]
    padded = f"{signature[:-1]}{sibling}="
    assert base64.urlsafe_b64decode(padded) == base64.urlsafe_b64decode(f"{signature}=")
    with pytest.raises(jwt.InvalidToken, match="base64url"):
        decode(f"{head}.{payload}.{signature[:-1]}{sibling}")


@pytest.mark.parametrize(("now", "alive"), [(NOW + 59, True), (NOW + 64, True), (NOW + 65, False)])
def test_expiry_with_leeway(now: float, alive: bool) -> None:
    token = jwt.encode(CLAIMS, secret=SECRET)
    if alive:
        assert decode(token, now=now) == CLAIMS
    else:
        with pytest.raises(jwt.ExpiredToken):
            decode(token, now=now)


def test_pyjwts_expired_token_is_refused() -> None:
    with pytest.raises(jwt.ExpiredToken):
        decode(pyjwt.encode({**CLAIMS, "exp": NOW - 3600}, SECRET, algorithm="HS256"))


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_tokens_from_the_future_are_refused(name: str) -> None:
    with pytest.raises(jwt.InvalidToken, match="not valid yet"):
        decode(jwt.encode({**CLAIMS, name: NOW + 30}, secret=SECRET))


@pytest.mark.parametrize("name", jwt.REQUIRED)
def test_each_required_claim_is_required(name: str) -> None:
    claims = {key: value for key, value in CLAIMS.items() if key != name}
    with pytest.raises(jwt.InvalidToken, match=name):
        decode(jwt.encode(claims, secret=SECRET))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "other"}, {"aud": "other"}, {"aud": ["other"]}, {"aud": None}, {"sub": 7}, {"jti": None},
        {"exp": "soon"}, {"exp": True}, {"exp": None}, {"exp": []}, {"iat": "then"}, {"iat": True}, {"nbf": {}},
    ],
)  # fmt: skip
def test_wrong_claims_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(jwt.InvalidToken):
        decode(jwt.encode({**CLAIMS, **changed}, secret=SECRET))


def test_one_of_several_audiences_is_enough() -> None:
    assert decode(jwt.encode({**CLAIMS, "aud": ["other", "smartqueue"]}, secret=SECRET))["sub"] == "7"


@pytest.mark.parametrize(
    "payload",
    [
        b"[]", b"null", b"", b"\xff", b"{", b"{'a': 1}", b'{"exp": NaN}', b"[" * 2000, b'{"a":' * 500,
        b'{"exp": ' + b"9" * 3000 + b"}",
    ],
)  # fmt: skip
def test_signed_nonsense_is_refused(payload: bytes) -> None:
    with pytest.raises(jwt.InvalidToken):
        decode(by_hand(HEADER, payload))


@pytest.mark.parametrize(("old", "new"), [('"sub": "7"', '"sub": "7", "sub": "8"'), (str(NOW + 60), "1e999")])
def test_claims_with_two_meanings_or_without_end_are_refused(old: str, new: str) -> None:
    text = json.dumps(CLAIMS)
    assert decode(by_hand(HEADER, text.encode())) == CLAIMS
    with pytest.raises(jwt.InvalidToken):
        decode(by_hand(HEADER, text.replace(old, new).encode()))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", [10**400, -(10**400), 1e308])
def test_huge_times_raise_nothing_else(name: str, value: float) -> None:
    with contextlib.suppress(jwt.InvalidToken):
        assert decode(by_hand(HEADER, {**CLAIMS, name: value}), leeway_s=0.5)[name] == value


def test_a_token_is_never_longer_than_4_kib() -> None:
    with pytest.raises(jwt.InvalidToken, match="long"):
        decode("a" * (jwt.MAX_LENGTH + 1))


def test_claims_that_are_not_json_are_the_callers_fault() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        jwt.encode({"exp": float("nan")}, secret=SECRET)


PARTS = st.one_of(
    st.text(),
    st.text(alphabet="ABCab01-_=+/", max_size=60),
    st.binary(max_size=60).map(jwt._to_base64),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5
    ).map(lambda value: jwt._to_base64(json.dumps(value).encode())),
    st.just(jwt._to_base64(json.dumps(HEADER).encode())),
)


@given(st.one_of(st.text(), st.lists(PARTS, max_size=5).map(".".join)))
def test_malformed_tokens_raise_only_invalid_token(token: str) -> None:
    with pytest.raises(jwt.InvalidToken):
        decode(token)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*jwt.REQUIRED, "nbf"]), JSON_VALUES), JSON_VALUES)
def test_signed_claims_raise_only_invalid_token(changed: dict[str, Any], kid: Any) -> None:
    claims = {**CLAIMS, **changed}
    for header in (HEADER, {**HEADER, "kid": kid}):
        with contextlib.suppress(jwt.InvalidToken):
            assert decode(by_hand(header, claims)) == claims
