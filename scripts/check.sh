#!/bin/sh
# The checks of `make test`, static ones first: sh scripts/check.sh BIN_FOLDER [--static]
set -eu
bin=$1
say() { printf '\n== %s\n' "$1"; }
say "ruff"
"$bin/ruff" check .
"$bin/ruff" format --check .
say "import-linter"
"$bin/lint-imports" --no-cache
say "mypy"
"$bin/mypy"
[ "${2:-}" = "--static" ] && exit 0
say "pytest"
# Two at a time, each with a database of its own; the tests of one file stay together.
PYTHONDEVMODE=1 exec "$bin/python" -m pytest -q -m "not slow" -n 2 --dist loadfile
