"""How failed logins slow down the next ones. Pure; orgs.login_guard keeps the counts.

Failures are counted for each pair of account and address, for each account over all addresses, and for each address
over all accounts. The first ones of each are free; then there is a pause behind every further attempt, which doubles.
"""

from __future__ import annotations


def pause_s(attempt: int, *, free: int, longest_s: int) -> int:
    """Seconds behind failed attempt number `attempt` (from 1) in which there is no other; 0 for a free one."""
    if attempt < free:
        return 0
    # The exponent is bounded, for so is not the number of attempts.
    return int(min(2 ** min(attempt - free, 30), longest_s))


def is_noted(attempt: int, thresholds: tuple[int, ...]) -> bool:
    """Whether failure number `attempt` of an account goes to the audit log: so that no attacker can fill it."""
    return attempt == 1 or attempt in thresholds
