"""Learning online: follows what is submitted and what ends, and keeps everything that predictions rest on fresh
between retrainings. Run by `manage.py learn`, one process for the whole platform.

Every few seconds it reads what is new, tells a `Learner` of it in the order of time, and writes how far the
network may be believed for each organisation and type. Now and then the network's own small steps go live
as a version, if they predicted better than the version in force did; and it retrains when enough has ended
since the last time, or when predictions got worse.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from predictor import keeping, retraining, selectors, store
from predictor.exceptions import PredictorError
from predictor.learner import Learner
from predictor.models import ModelVersion
from predictor.selectors import Ended, Placed

logger = logging.getLogger(__name__)

WARM_UP = 5_000  # newest runs that a new learner is told of first
MOST_AT_ONCE = 2_000  # submissions and endings in one step; of more only the newest are followed
MOST_OPEN = 20_000  # submissions whose end is waited for
PUBLISH_AFTER = 64  # outcomes
KEEP_ONLINE = 10  # versions
RETRAIN_AFTER = 2_000  # outcomes
RETRAIN_FIRST = 200
OVERLAP = 1_000  # log ids
TIDY_S = 3_600.0
MOST_ROUNDS = 5  # of small steps after one look
WORSE = 1.5  # times the error at the last retraining
RECENT = 200  # outcomes that tell whether it got worse


@dataclass(frozen=True, slots=True)
class Policy:
    """When to publish and to retrain, in outcomes; `publish_s`, `retrain_s`: at most so often, in seconds."""

    publish_s: float = 60.0
    retrain_s: float = 600.0
    publish_after: int = PUBLISH_AFTER
    retrain_first: int = RETRAIN_FIRST
    retrain_after: int = RETRAIN_AFTER


class Learning:
    """`step(now)` does what is due, `now` being any steady clock in seconds, and says what that was."""

    def __init__(self, policy: Policy | None = None, *, seed: int = 0) -> None:
        self._policy = policy or Policy()
        self._rng = np.random.default_rng(seed)
        self._version: ModelVersion | None = None
        self._published_at = self._retrained_at = -math.inf
        self._tidied_at = -math.inf
        if keeping.is_empty():
            keeping.fill(selectors.newest_runs(retraining.DEFAULT_LIMIT))
        self._begin()

    def step(self, now: float) -> list[str]:
        done = []
        if self._version_in_force() != (self._version and self._version.pk):
            self._begin()
            done.append("took up the version in force")
        if self._follow():
            keeping.keep_trust(self._learner.shadows.changed)
            self._learner.shadows.changed.clear()
            self._practise()
        if now - self._tidied_at >= TIDY_S:
            self._tidied_at = now
            keeping.drop_stale()
        if not (self._version and self._version.pinned):
            done += self._go_live(now)
        return done

    def _go_live(self, now: float) -> list[str]:
        """A retraining where it is time for one, else what was learned online where it is better."""
        if now - self._retrained_at >= self._policy.retrain_s and self._wants_retraining():
            self._retrained_at = now
            return [self._retrain()]
        if now - self._published_at >= self._policy.publish_s and self._may_publish():
            self._published_at = now
            return [self._publish()]
        return []

    def _begin(self) -> None:
        """From the version in force and the newest runs, which it may know: how far it is to be believed is
        taken from what was seen live."""
        self._version = ModelVersion.objects.defer("weights").filter(active=True).first()
        self._learner = Learner(self._rng, model=store.active().network)
        self._learner.online = False
        self._last_ended, self._last_placed = selectors.last_log_id(), selectors.last_job_id()
        retraining.tell(self._learner, selectors.newest_runs(WARM_UP, up_to=self._last_ended))
        self._learner.shadows = keeping.trust()
        self._heard: deque[int] = deque(maxlen=2 * OVERLAP)  # log ids of the last endings
        self._heard.extend(range(max(self._last_ended - OVERLAP, 0), self._last_ended + 1))
        self._tickets: dict[int, int] = {}  # by job id, of those whose first attempt has not ended
        self._ours: deque[float] = deque(maxlen=RECENT)  # errors of the learner's predictions, |log|
        self._served: deque[float] = deque(maxlen=RECENT)  # of those that were served
        self._base: deque[float] = deque(maxlen=RECENT)  # of the base alone
        self._since_published = self._since_retrained = self._to_practise = 0
        last = ModelVersion.objects.filter(origin=ModelVersion.RETRAIN).order_by("-id").first()
        if last and last.window_end:
            self._since_retrained = selectors.count_runs_since(last.window_end, most=RETRAIN_AFTER)

    def _version_in_force(self) -> int | None:
        return ModelVersion.objects.filter(active=True).values_list("pk", flat=True).first()

    def _follow(self) -> int:
        """Ids are given out before they are committed, so the last ones are looked at twice."""
        heard = set(self._heard)
        found = selectors.ended_after(self._last_ended - OVERLAP, MOST_AT_ONCE)
        ended = [one for one in found if one.log_id not in heard]
        placed = selectors.placed_after(self._last_placed, MOST_AT_ONCE)
        events: list[Placed | Ended] = sorted([*placed, *ended], key=lambda event: event.at)
        for event in events:
            if isinstance(event, Placed):
                self._placed(event)
            else:
                self._ended(event)
        self._heard.extend(one.log_id for one in ended)
        self._last_ended = max([self._last_ended, *(one.log_id for one in ended)])
        self._last_placed = max([self._last_placed, *(one.job_id for one in placed)])
        return len(ended)

    def _practise(self) -> None:
        """In rounds of as many outcomes as on a replayed trace, but never so many that they take a core."""
        rounds = self._to_practise // self._learner.config.online_every
        if rounds:
            self._to_practise = 0
        for _ in range(min(rounds, MOST_ROUNDS)):
            self._learner.practise()

    def _placed(self, placed: Placed) -> None:
        self._tickets[placed.job_id] = self._learner.ask(placed.ask)
        if len(self._tickets) > MOST_OPEN:
            self._learner.forget(self._tickets.pop(next(iter(self._tickets))))

    def _ended(self, ended: Ended) -> None:
        run = ended.run
        ticket = self._tickets.pop(ended.job_id, None)
        if ticket is None:  # nobody saw it asked for, or it is a retry, which nobody asks for
            self._learner.seen(run)
            return
        if run.ask.attempt > 1:  # the end of its first attempt was missed
            self._learner.forget(ticket)
            self._learner.seen(run)
            return
        guess, base = float(self._learner.predictions([ticket])[0][1]), self._learner.base(ticket)
        self._learner.ended(ticket, run)
        self._learner.forget(ticket)
        self._since_published += 1
        self._since_retrained += 1
        self._to_practise += 1
        served_by_it = self._version is not None and ended.version == self._version.pk
        if not run.censored and ended.predicted_ms and served_by_it:
            self._ours.append(abs(guess - run.log_ms))
            self._base.append(abs(base - run.log_ms))
            self._served.append(abs(math.log(max(ended.predicted_ms, 1.0)) - run.log_ms))

    def _wants_retraining(self) -> bool:
        trained = self._learner.model is not None
        enough = self._policy.retrain_after if trained else self._policy.retrain_first
        return self._since_retrained >= enough or (trained and self._got_worse())

    def _got_worse(self) -> bool:
        if len(self._served) < RECENT or self._since_retrained < RECENT or self._version is None:
            return False
        before = self._version.metrics.get("log2_network")
        return before is not None and _log2(self._served) > WORSE * before

    def _may_publish(self) -> bool:
        return (
            self._learner.model is not None
            and self._since_published >= self._policy.publish_after
            and len(self._ours) >= self._policy.publish_after
            and _log2(self._ours) < min(_log2(self._served), _log2(self._base))
        )

    def _retrain(self) -> str:
        """What was learned meanwhile is given up first: two of them would take twice the memory."""
        del self._learner
        try:
            said = retraining.retrain(seed=int(self._rng.integers(2**31))).verdict
        except (PredictorError, retraining.TooLittleHistory) as error:
            said = f"no retraining: {error}"
        self._begin()
        self._since_retrained = 0
        return said

    def _publish(self) -> str:
        model, learner = self._learner.model, self._learner
        assert model is not None
        assert self._version is not None
        now = datetime.now(UTC)
        version = store.save(
            store.pack(model, learner.levels),
            origin=ModelVersion.ONLINE,
            metrics={
                "log2_network": self._version.metrics.get("log2_network", _log2(self._ours)),
                "log2_live": _log2(self._ours),
                "log2_before": _log2(self._served),
                "n_val": len(self._ours),
            },
            trained_on=self._version.trained_on + self._since_published,
            window=(self._version.window_start or now, now),
        )
        store.activate(version)
        store.prune_online(KEEP_ONLINE)
        said = f"version {version.pk} went live: learned online, log2 {_log2(self._ours):.4g}"
        self._version, self._since_published = version, 0
        for errors in (self._ours, self._served, self._base):
            errors.clear()
        return said


def _log2(errors: deque[float]) -> float:
    return sum(errors) / len(errors) / math.log(2) if errors else math.inf
