"""Who sends `Authorization: Bearer ...`, an access token or an API key: one at a time, or many at once.

One at a time is for orgs.authentication. The short way of submitting (smartqueue.quick_submit) first turns each token
into a `Bearer`, without the database, and then asks for the users of many in one statement for each kind.
"""

from __future__ import annotations

from collections.abc import Collection

from orgs import api_keys, jwt, standing, tokens
from orgs.exceptions import OrganizationClosing
from orgs.models import User

Bearer = int | str  # the id of a user, or the hash of an API key


def bearer_of(token: str) -> Bearer:
    """Whom a token stands for, as far as can be told without the database; raises jwt.InvalidToken."""
    if not api_keys.is_key(token):
        return tokens.subject_of(token)
    if not api_keys.has_form(token):
        raise jwt.InvalidToken("This is no API key.")
    return api_keys.hash_of(token)


def user_of(token: str) -> User:
    """The user whom a token stands for; raises jwt.InvalidToken and, where the organisation's state keeps the user
    out, OrganizationClosed."""
    bearer = bearer_of(token)
    if isinstance(bearer, int):
        user = tokens.user_with_id(bearer)
        standing.may_come_in(user)
        return user
    user_of_key = api_keys.users_of_keys([bearer]).get(bearer)
    if user_of_key is None:
        raise jwt.InvalidToken("There is no such key, or it is not in force.")
    standing.may_come_in(user_of_key)
    if user_of_key.org is None or not user_of_key.org.is_open:
        raise OrganizationClosing("The organisation of this API key is to be deleted.")
    return user_of_key


def open_users(bearers: Collection[Bearer]) -> dict[Bearer, User]:
    """Those of `bearers` whose user is active, without an organisation or in an open one."""
    ids = {bearer for bearer in bearers if isinstance(bearer, int)}
    hashes = {bearer for bearer in bearers if isinstance(bearer, str)}
    of_ids = tokens.active_users(ids) if ids else {}
    of_keys = api_keys.users_of_keys(hashes) if hashes else {}
    found: list[tuple[Bearer, User]] = [*of_ids.items(), *of_keys.items()]
    return {bearer: user for bearer, user in found if user.org is None or user.org.is_open}
