"""When a failed attempt is tried again: exponential backoff with full jitter. Pure."""

from __future__ import annotations

import random


def delay_s(retry_count: int, *, base_s: float, cap_s: float, rng: random.Random | None = None) -> float:
    """Seconds until the next attempt after `retry_count` retries: uniform in [0, min(cap, base x 2^n)].

    Full jitter (M. Brooker, "Exponential Backoff and Jitter", 2015) spreads jobs that failed together.
    """
    ceiling = min(cap_s, base_s * 2.0 ** min(retry_count, 60))
    return (rng or random).uniform(0.0, ceiling)
