"""What a fork server that imports heavy libraries imports, without the libraries."""

from __future__ import annotations

import time

time.sleep(1.0)
