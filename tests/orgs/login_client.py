"""One of many clients that log in at once: `python login_client.py PORT REQUESTS HEADERS BODY`.

Waits for its standard input to end, then writes "status retry-after" of each answer. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import sys


def main(port: str, requests: str, headers: str, body: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
    connection.connect()
    sys.stdin.read()
    for _ in range(int(requests)):
        connection.request("POST", "/auth/login", body, json.loads(headers))
        answer = connection.getresponse()
        answer.read()
        sys.stdout.write(f"{answer.status} {answer.headers.get('Retry-After', 'none')}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
