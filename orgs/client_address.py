"""Whose address a request comes from, behind a known number of proxies. Pure; orgs.limits asks it for each request.

Each proxy adds to the right of `X-Forwarded-For` the address that it was connected from, so with n proxies of one's
own the n-th entry from the right was written by the outermost of them. Everything further left is the client's word.
"""

from __future__ import annotations

import ipaddress
import re

# As some proxies write them: 192.0.2.1:4711, [2001:db8::1]:4711, [2001:db8::1].
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5}")


def client_address(remote: str, forwarded: str, proxies: int) -> str | None:
    """The client's IP address in its shortest form; None where nothing tells it.

    `remote` is the other end of the connection (empty for a socket of the file system), `forwarded` the value of
    `X-Forwarded-For`, several such headers joined by commas. With 0 `proxies`, or where the entry in question is
    missing or no address, it is `remote`.
    """
    entries = forwarded.split(",") if proxies > 0 else []
    if 0 < proxies <= len(entries) and (found := _address(entries[-proxies])):
        return found
    return _address(remote)


def _address(text: str) -> str | None:
    text = text.strip(" \t")
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    # One client, one name: an IPv4 client of a dual-stack socket, a link-local one of any interface.
    return str(found.ipv4_mapped or ipaddress.IPv6Address(int(found)))


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    return str(
        ipaddress.ip_network(f"{address}/{64 if ':' in address else 32}", strict=False).network_address
    )
