"""Whose turn it is: start-time fair queueing between organisations, in worker-seconds. Pure: no Django, no clock.

Model. Each organisation has a place on one line of virtual time. Its next job starts at its place; taking a job moves
the place ahead by the job's seconds divided by the organisation's weight, and what the job really took corrects it. The
organisation whose place is furthest behind goes next, and its place is the present. Whoever had nothing to do starts at
the present, or at the own place where that is ahead: idle time is no credit. What a place is ahead of the present (its
lead: debt for jobs that took longer than predicted) halves with every half-life.

After Goyal, Vin and Cheng, "Start-time Fair Queuing" (SIGCOMM 1996). Used by the claims of a worker, by the
simulation that estimates starts, and by the replay of real histories.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

UNKNOWN_S = 3.0  # what a job is charged whose runtime nobody can predict: jobs.ordering has the same
NEXT_S = 1e-6  # a newcomer goes before those at the same place who were served already
LEAST_S = 0.001  # nothing is free: jobs that take no time still take turns


@dataclass(slots=True)
class Account:
    """One organisation: its place in virtual seconds, whether it has work and so takes part, whether it just came."""

    place: float
    weight: float = 1.0
    at_work: bool = False
    is_new: bool = True


class Shares:
    """Places of organisations, by id. Times are seconds on any clock that only goes forward."""

    def __init__(self, half_life_s: float, now: float = 0.0) -> None:
        self._half_life_s = half_life_s
        self._decayed_at = now
        self._accounts: dict[int, Account] = {}
        self._at_work = 0
        self._present = 0.0  # as of the last time that somebody was at work
        self._is_present = True  # or it has to be looked for
        self._began_at = 0.0  # the place of the last job that began

    @property
    def present(self) -> float:
        """The place that is furthest behind of those at work. Refunds may move it back: else whoever comes then would
        wait for what nobody has received."""
        if not self._is_present and self._at_work:
            self._present = min(account.place for account in self._accounts.values() if account.at_work)
            self._is_present = True
        return self._present

    @property
    def newcomers_place(self) -> float:
        """Where somebody starts of whom nothing is known: next."""
        return self.present - NEXT_S

    def begin(self, org: int, weight: float = 1.0) -> None:
        """The organisation has work. One that had none starts at the present, or later if it is ahead."""
        account = self._accounts.get(org)
        if account is None:
            account = self._accounts[org] = Account(place=self.present)
        if not account.at_work:
            account.place = max(account.place, self.present)
            account.at_work = account.is_new = True
            self._at_work += 1
            self._is_present = False
        account.weight = weight

    def end(self, org: int) -> None:
        """The organisation has no work any more."""
        account = self._accounts.get(org)
        if account is not None and account.at_work:
            self._present = self.present
            account.at_work = False
            self._at_work -= 1
            self._is_present = False

    def place(self, org: int) -> float:
        """Where the organisation's next job starts, were it to have one now."""
        account = self._accounts.get(org)
        if account is None:
            return self.newcomers_place
        place = account.place if account.at_work else max(account.place, self.present)
        return place - NEXT_S if account.is_new or not account.at_work else place

    def lead(self, org: int) -> float:
        """How far the organisation is ahead of its turn (0: it is its turn), in seconds for its weight.

        Where nobody competes, it is counted from where the last job began: whoever comes now goes first.
        """
        turn = self.present if self._at_work > 1 else min(self.present, self._began_at)
        return max(self.place(org) - turn, 0.0)

    def weight(self, org: int) -> float:
        return self._accounts[org].weight if org in self._accounts else 1.0

    def take(self, org: int, *seconds: float) -> None:
        """Jobs of the organisation begin, one after the other, that are predicted to take so long."""
        lengths = [max(one, LEAST_S) for one in seconds]
        self.charge(org, sum(lengths))
        self._began_at = self.place(org) - lengths[-1] / self.weight(org)

    def charge(self, org: int, seconds: float) -> None:
        """The organisation has received so many worker-seconds more; negative gives back."""
        account = self._accounts.get(org)
        if account is None:
            account = self._accounts[org] = Account(place=self.present)
        account.place += seconds / account.weight
        account.is_new = False
        if account.at_work:
            self._is_present = False

    def turns(self, orgs: Iterable[int], most: int, tie: Callable[[int], float]) -> list[int]:
        """Up to `most` of these organisations in the order of their turns; `tie` decides between equal places."""
        return [
            org for _, _, org in heapq.nsmallest(most, ((self.place(org), tie(org), org) for org in orgs))
        ]

    def decay(self, now: float) -> None:
        """Let leads shrink by the time since the last call; forget who is idle and owes nothing."""
        share = 0.5 ** (max(now - self._decayed_at, 0.0) / self._half_life_s)
        self._decayed_at = now
        present = self.present
        self._began_at = present + (self._began_at - present) * share
        for org, account in list(self._accounts.items()):
            account.place = present + (account.place - present) * share
            if not account.at_work and account.place <= present + LEAST_S:
                del self._accounts[org]

    def idle_ahead(self) -> list[tuple[float, int]]:
        """Who takes no part and is ahead of the present: by how much, and its id."""
        present = self.present
        return [
            (account.place - present, org)
            for org, account in self._accounts.items()
            if not account.at_work and account.place > present
        ]

    def leads(self) -> dict[int, float]:
        """By organisation that takes part or is ahead."""
        return {org: self.lead(org) for org in self._accounts}


def charge_s(predicted_ms: float | None) -> float:
    """What a job is charged when it is taken, in seconds."""
    return UNKNOWN_S if predicted_ms is None else max(predicted_ms / 1000.0, LEAST_S)
