"""Whose address counts behind a number of proxies."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings
from rest_framework.test import APIClient

from orgs.client_address import client_address, network_of
from orgs.limits import NOWHERE, address_of, counted_address
from orgs.models import AuditEntry, User
from tests.conftest import PASSWORD

PROXY = "10.0.0.9"
ADDRESSES = st.ip_addresses(v=4).map(str)
HEADERS = st.lists(
    st.one_of(ADDRESSES, st.text(alphabet="0123456789.:[]% ,abcxyz\0", max_size=20)), max_size=5
)


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ("192.0.2.1", 0, PROXY),
        ("192.0.2.1", 1, "192.0.2.1"),
        ("198.51.100.7, 192.0.2.1", 1, "192.0.2.1"),
        ("198.51.100.7, 192.0.2.1, 10.0.0.8", 2, "192.0.2.1"),
        ("198.51.100.7,192.0.2.1,10.0.0.8", 3, "198.51.100.7"),
        ("192.0.2.1", 2, PROXY),
        ("", 1, PROXY),
        ("192.0.2.1, unknown", 1, PROXY),
        ("192.0.2.1,", 1, PROXY),
        ("192.0.2.1, 192.0.2.999", 1, PROXY),
        ("192.0.2.1:4711", 1, "192.0.2.1"),
        ("[2001:db8::1]:4711", 1, "2001:db8::1"),
        ("[2001:DB8:0::1]", 1, "2001:db8::1"),
        ("::ffff:192.0.2.1", 1, "192.0.2.1"),
        ("fe80::1%eth0", 1, "fe80::1"),
    ],
)
def test_entry_of_the_outermost_proxy_counts(forwarded: str, proxies: int, address: str) -> None:
    assert client_address(PROXY, forwarded, proxies) == address


@given(told=HEADERS, client=ADDRESSES, between=st.lists(ADDRESSES, max_size=3))
def test_nothing_that_a_client_sends_changes_its_address(
    told: list[str], client: str, between: list[str]
) -> None:
    """Each proxy adds whom it is connected from; the innermost one is the other end of the connection."""
    seen = [*told, client, *between]
    assert client_address(PROXY, ",".join(seen), len(between) + 1) == client


@given(told=HEADERS, proxies=st.integers(0, 4))
def test_any_header_gives_an_address(told: list[str], proxies: int) -> None:
    found = client_address("192.0.2.1", ",".join(told), proxies)
    assert found is not None
    assert client_address(found, "", 0) == found
    assert network_of(found)


def test_a_socket_of_the_file_system_has_no_address(rf: RequestFactory, settings: Settings) -> None:
    request = rf.get("/", REMOTE_ADDR="")
    assert (address_of(request), counted_address(request)) == (None, NOWHERE)
    settings.TRUSTED_PROXIES = 1
    assert counted_address(rf.get("/", REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="192.0.2.1")) == "192.0.2.1"


def test_one_client_is_an_address_or_a_network() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::2") != network_of("2001:db8:0:1::1")


@pytest.mark.django_db
def test_limits_count_by_it(settings: Settings, alice: User) -> None:
    settings.RATE_LOGIN, settings.TRUSTED_PROXIES = "1/365d", 1

    def knock(forwarded: str) -> int:
        client = APIClient(REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR=forwarded)
        return client.post("/auth/login", {}, format="json").status_code

    assert knock("192.0.2.1") == 400
    assert knock("198.51.100.1, 192.0.2.1") == 429
    assert knock("192.0.2.1, 192.0.2.2") == 400


@pytest.mark.django_db
def test_the_audit_log_notes_it(settings: Settings, alice: User) -> None:
    settings.TRUSTED_PROXIES = 1
    client = APIClient(REMOTE_ADDR=PROXY, HTTP_X_FORWARDED_FOR="198.51.100.1, 192.0.2.1")
    body = {"username": "alice", "password": PASSWORD}
    assert client.post("/auth/login", body, format="json").status_code == 200
    assert AuditEntry.objects.get(action="user.login").ip == "192.0.2.1"
