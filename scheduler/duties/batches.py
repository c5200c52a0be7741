"""How much one run of a duty does. Imported by the duties and by their list."""

from __future__ import annotations

BATCH = 1000
