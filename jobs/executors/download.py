"""Files that `etl` and `ml` jobs read by URL."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import httpx

from jobs.executors.base import PermanentError
from jobs.executors.http import client, connection_errors, status_error

MAX_DOWNLOAD_BYTES = 64 * 1024 * 1024
TIMEOUT_S = 60.0

_KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/json": "json",
    "application/jsonl": "json",
    "application/ndjson": "json",
    "application/x-ndjson": "json",
    "application/parquet": "parquet",
    "application/vnd.apache.parquet": "parquet",
}


def fetch(url: str, path: Path) -> str:
    """Fetch a file; its kind: csv, json or parquet. Raises JobError or PermanentError."""
    with (
        connection_errors(url),
        client(TIMEOUT_S, follow_redirects=True) as http,
        http.stream("GET", url) as response,
        path.open("wb") as file,
    ):
        if not response.is_success:
            raise status_error(response)
        kind = _kind(response)
        for chunk in response.iter_bytes():
            file.write(chunk)
            if file.tell() > MAX_DOWNLOAD_BYTES:
                raise PermanentError(f"{url} is larger than {MAX_DOWNLOAD_BYTES // 1024**2} MiB.")
    return kind


def _kind(response: httpx.Response) -> str:
    suffix = PurePosixPath(urlsplit(str(response.url)).path).suffix.lower()
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    kind = _KINDS.get(suffix) or _KINDS.get(content_type)
    if kind is None:
        raise PermanentError(
            f"{response.url} is of unknown kind: expected a name that ends in .csv, .tsv, .json, .jsonl, "
            f".ndjson or .parquet, or a content type that says so, not {content_type or 'none'}."
        )
    return kind
