"""JSON Web Tokens, HMAC-SHA256 only. Standard library only; what a claim means is decided in orgs.tokens.

The algorithm is ours, never the token's: a header that names another one is refused. `kid` (the first
8 hex digits of the secret's SHA-256) is a hint which secret to try; a token without it is tried
against all. Whatever is wrong with a token, `decode` raises InvalidToken and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

ALGORITHM = "HS256"
MAX_LENGTH = 4096
REQUIRED = ("iss", "aud", "sub", "iat", "exp", "jti")


class InvalidToken(Exception):
    """The token is not valid."""


class ExpiredToken(InvalidToken):
    """The token has expired."""


def encode(claims: Mapping[str, Any], *, secret: str) -> str:
    """A signed token. `claims` must be JSON; times are whole seconds of Unix time."""
    header = {"alg": ALGORITHM, "kid": key_id(secret), "typ": "JWT"}
    signed = f"{_to_base64(_to_json(header))}.{_to_base64(_to_json(claims))}"
    return f"{signed}.{_to_base64(_sign(signed, secret))}"


def decode(
    token: str,
    *,
    secrets: Sequence[str],
    issuer: str,
    audience: str,
    leeway_s: float = 5,
    now: float | None = None,
) -> dict[str, Any]:
    """The claims of a token that one of `secrets` signed and that is valid at `now` (Unix time).

    Raises ExpiredToken, or InvalidToken for every other fault.
    """
    signed, header, payload, signature = _split(token)
    _check_header(header)
    _check_signature(signed, signature, _candidates(header, secrets))
    claims = _object(payload)
    _check_claims(claims, issuer=issuer, audience=audience)
    _check_times(claims, now=time.time() if now is None else now, leeway_s=leeway_s)
    return claims


def key_id(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def _split(token: str) -> tuple[str, dict[str, Any], bytes, bytes]:
    if len(token) > MAX_LENGTH:
        raise InvalidToken("The token is too long.")
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidToken("A token has three parts.")
    header, payload, signature = (_from_base64(part) for part in parts)
    return f"{parts[0]}.{parts[1]}", _object(header), payload, signature


def _check_header(header: dict[str, Any]) -> None:
    if header.get("alg") != ALGORITHM:
        raise InvalidToken("The token is not signed with HS256.")
    if "crit" in header:
        raise InvalidToken("The token demands an extension that is not supported.")


def _candidates(header: dict[str, Any], secrets: Sequence[str]) -> list[str]:
    if "kid" not in header:
        return list(secrets)
    return [secret for secret in secrets if key_id(secret) == header["kid"]]


def _check_signature(signed: str, signature: bytes, secrets: list[str]) -> None:
    if not any(hmac.compare_digest(_sign(signed, secret), signature) for secret in secrets):
        raise InvalidToken("The signature does not match.")


def _check_claims(claims: dict[str, Any], *, issuer: str, audience: str) -> None:
    if missing := [name for name in REQUIRED if name not in claims]:
        raise InvalidToken(f"The token lacks {', '.join(missing)}.")
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if claims["iss"] != issuer or audience not in audiences:
        raise InvalidToken("The token was not made for this service.")
    if not isinstance(claims["sub"], str) or not isinstance(claims["jti"], str):
        raise InvalidToken("sub and jti must be text.")


def _check_times(claims: dict[str, Any], *, now: float, leeway_s: float) -> None:
    # The leeway goes to the clock's side: a huge whole number can be compared with a float, not added to it.
    if now - leeway_s >= _time(claims, "exp"):
        raise ExpiredToken("The token has expired.")
    if any(_time(claims, name) > now + leeway_s for name in ("iat", "nbf") if name in claims):
        raise InvalidToken("The token is not valid yet.")


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value in (math.inf, -math.inf):
        raise InvalidToken(f"{name} must be a number.")
    return value


def _sign(signed: str, secret: str) -> bytes:
    return hmac.new(secret.encode(), signed.encode("ascii"), hashlib.sha256).digest()


def _to_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def _to_base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _from_base64(text: str) -> bytes:
    """Strict: no padding, no foreign characters, no second spelling of the same bytes."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise InvalidToken("A part of the token is not base64url.") from None
    if _to_base64(raw) != text:
        raise InvalidToken("A part of the token is not base64url.")
    return raw


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise InvalidToken("A part of the token is not JSON.") from None
    if not isinstance(value, dict):
        raise InvalidToken("A part of the token is not a JSON object.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("A name occurs twice.")
    return dict(pairs)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON.")
