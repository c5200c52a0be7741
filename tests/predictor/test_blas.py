from __future__ import annotations

import json
import subprocess
import sys

SHOW = """
import json, numpy
from threadpoolctl import threadpool_info
from predictor.blas import use_one_thread
use_one_thread()
use_one_thread()
numpy.ones((200, 200)) @ numpy.ones((200, 200))
print(json.dumps([library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]))
"""


def test_products_stay_on_one_thread_from_then_on() -> None:
    """In a process of its own: the limit is for good."""
    shown = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    assert set(json.loads(shown.stdout)) == {1}
