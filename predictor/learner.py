"""Learns from runs as they end: the windows, the comparison with the base, and the network's weights.

Pure: no Django, no clock. It is told of each job when it is asked for and when it has ended, in order of
time, and predicts as it would have been predicted at that moment: what has not ended is not known. A live
history and a replayed trace take the same way. Called by predictor.learning and bench.predict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictor import coldstart
from predictor.estimate import WITHOUT_NETWORK, sane
from predictor.features import Example, example
from predictor.history import Ask, Book, Run, Window, log_timeout_ms, robust_base, seen
from predictor.lstm import Array
from predictor.model import Model
from predictor.shadow import SHARES, Served, Shadow, Shadows, would_be
from predictor.train import Config, Lesson, Progress, Trainer, lesson, outputs_of

MIN_LESSONS = 50
MOST_LESSONS = 100_000
LEAST_ORGS = 5  # before the level of a type is told to others: with fewer it would be that of somebody
Outputs = tuple[float, float, float]


@dataclass(slots=True)
class Asked:
    """A job that was asked for, the example made of it (None: nothing was known) and how it was served.

    `outputs` of the network are worked out when they are needed, for many at once, but always with the
    weights of the moment in which it was asked for.
    """

    ask: Ask
    example: Example | None
    shadow: Shadow
    outputs: Outputs | None = None

    @property
    def log_base(self) -> float:
        return self.example.log_base if self.example else math.log(coldstart.base_ms(self.ask.job_type))

    @property
    def log_cap(self) -> float:
        return log_timeout_ms(self.ask) or math.inf

    def served(self) -> Served:
        return self.shadow.serve(self.log_base, self.outputs or WITHOUT_NETWORK, self.log_cap)


@dataclass(frozen=True, slots=True)
class Judged:
    """One of the newest runs: what it took, what was served at the time, and what the base and the challenger
    predict of it. Natural logs of milliseconds."""

    run: Run
    served: Served
    base: float
    challenger: Served


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a retraining. Losses are means of |log2| of predicted over true runtime on `judged`.

    `champion` is what was served by the model in force at the time, infinite without one.
    """

    challenger: float
    champion: float
    base: float
    accepted: bool
    lessons: int
    model: Model
    judged: Sequence[Judged]


class Learner:
    """`model` is None until the first retraining that came to something."""

    def __init__(
        self, rng: np.random.Generator, config: Config | None = None, model: Model | None = None
    ) -> None:
        self.config = config or Config()
        self.book = Book()
        self.shadows = Shadows()
        self.levels: dict[str, float] = {}
        self.online = True
        self._rng = rng
        self._trainer = Trainer(model, rng, self.config) if model else None
        self._asked: dict[int, Asked] = {}
        self._tickets = 0
        self._unread: list[Asked] = []  # without outputs so far
        self._lessons: list[Lesson] = []
        self._came: list[tuple[Asked, Run]] = []  # one per lesson
        self._by_type: dict[str, Window] = {}
        self._orgs: dict[str, set[int]] = {}  # that had a run of the type, up to LEAST_ORGS
        self._since = 0

    @property
    def model(self) -> Model | None:
        return self._trainer.steady if self._trainer else None

    def ask(self, ask: Ask) -> int:
        """Note a job that is submitted now; the ticket stands for it from here on."""
        past = self.book.past(ask)
        base = robust_base(ask, past, self.levels)
        asked = Asked(
            ask, example(ask, past, base) if base else None, self.shadows.now(ask.org_id, ask.job_type)
        )
        self._tickets += 1
        self.book.note(self._tickets, ask)
        self._asked[self._tickets] = asked
        if asked.example and self._trainer:
            self._unread.append(asked)
        return self._tickets

    def predictions(self, tickets: Sequence[int]) -> Array:
        """What was served: (N, 3) natural logs of milliseconds, low, median and high."""
        self._read()
        served = [self._asked[ticket].served() for ticket in tickets]
        return np.array([(one.low, one.median, one.high) for one in served]).reshape(len(served), 3)

    def ended(self, ticket: int, run: Run) -> None:
        """The outcome of a job is known now."""
        asked = self._asked[ticket]
        self._read()
        self._settle(asked, run)
        self.book.close(ticket, asked.ask)
        self.book.add(run)
        self._note_level(run)
        if asked.example:
            self._note_lesson(asked, asked.example, run)
        if self.online and self._since >= self.config.online_every:
            self.practise()

    def practise(self) -> None:
        """A round of small steps on the newest lessons."""
        self._since = 0
        if self._trainer and self._lessons:
            self._read()
            self._trainer.learn(self._lessons)

    def seen(self, run: Run) -> None:
        """A run whose asking was missed: part of the history, but nothing that was predicted."""
        self.book.add(run)
        self._note_level(run)

    def base(self, ticket: int) -> float:
        """What the base alone would have predicted: natural log of milliseconds."""
        asked = self._asked[ticket]
        return min(asked.log_base, asked.log_cap)

    def forget(self, ticket: int) -> None:
        """Its prediction will not be asked for any more, nor its end be told."""
        if asked := self._asked.pop(ticket, None):
            self.book.close(ticket, asked.ask)

    def retrain(self, progress: Progress | None = None) -> Verdict | None:
        """Train a challenger on all but the newest runs. Of those, the older say when to stop and how far to
        believe it; the very newest judge: it is taken up if it predicts them better than the model in force
        did when they came, and better than the base. None with too little to learn from."""
        self._read()
        if len(self._lessons) < MIN_LESSONS:
            return None
        challenger = self._challenger()
        taught, stopped = self.config.cuts(len(self._lessons))
        epochs = self.config.epochs if self._trainer is None else self.config.more_epochs
        challenger.fit(self._lessons[:taught], self._lessons[taught:stopped], epochs, progress)
        share = self._best_share(challenger.model, self._came[taught:stopped])
        verdict = self._judge(challenger.model, share, self._came[stopped:])
        if verdict.accepted:
            self._trainer = challenger
        return verdict

    def _challenger(self) -> Trainer:
        model = self._trainer.model.copy() if self._trainer else Model.initial(self._rng, self.config.hidden)
        return Trainer(model, self._rng, self.config)

    def _best_share(self, model: Model, came: Sequence[tuple[Asked, Run]]) -> float:
        """How much of its corrections would have served these best; never none."""
        errors = [_log2(column, [run for _, run in came]) for column in _guesses(model, came)[0].T[1:]]
        return SHARES[1 + int(np.argmin(errors))]

    def _judge(self, model: Model, share: float, newest: Sequence[tuple[Asked, Run]]) -> Verdict:
        guesses, outputs = _guesses(model, newest)
        runs = [run for _, run in newest]
        judged = [
            Judged(
                run,
                asked.served(),
                base=float(guess[0]),
                challenger=asked.shadow.serve_share(share, asked.log_base, row, asked.log_cap),
            )
            for (asked, run), guess, row in zip(newest, guesses, outputs.tolist(), strict=True)
        ]
        mine = _log2([one.challenger.median for one in judged], runs)
        base = _log2([one.base for one in judged], runs)
        champion = _log2([one.served.median for one in judged], runs) if self._trainer else math.inf
        return Verdict(mine, champion, base, mine < min(base, champion), len(self._lessons), model, judged)

    def _settle(self, asked: Asked, run: Run) -> None:
        correction = asked.outputs[1] if asked.outputs else 0.0
        self.shadows.settle(
            (run.ask.org_id, run.ask.job_type),
            run.log_ms,
            asked.served(),
            would_be(asked.log_base, correction, asked.log_cap),
            censored=run.censored,
        )

    def _note_lesson(self, asked: Asked, read: Example, run: Run) -> None:
        self._lessons.append(lesson(read, run))
        self._came.append((asked, run))
        self._since += 1
        if len(self._lessons) > 1.25 * MOST_LESSONS:
            del self._lessons[:-MOST_LESSONS], self._came[:-MOST_LESSONS]

    def _note_level(self, run: Run) -> None:
        window = self._by_type.setdefault(run.ask.job_type, Window())
        window.add(seen(run))
        orgs = self._orgs.setdefault(run.ask.job_type, set())
        if len(orgs) < LEAST_ORGS:
            orgs.add(run.ask.org_id)
        if len(orgs) >= LEAST_ORGS and (summary := window.summary()):
            self.levels[run.ask.job_type] = summary.median

    def _read(self) -> None:
        """Ask the network about all that wait, before its weights move."""
        if self._unread and self._trainer:
            examples = [asked.example for asked in self._unread if asked.example]
            for asked, outputs in zip(self._unread, outputs_of(self._trainer.steady, examples), strict=True):
                low, middle, high = outputs.tolist()
                asked.outputs = (low, middle, high) if sane((low, middle, high)) else None
        self._unread.clear()


def _guesses(model: Model, came: Sequence[tuple[Asked, Run]]) -> tuple[Array, Array]:
    """What each share of the correction would have predicted (N, len(SHARES)), and the outputs (N, 3)."""
    outputs = outputs_of(model, [asked.example for asked, _ in came if asked.example])
    guesses = [
        would_be(asked.log_base, middle, asked.log_cap)
        for (asked, _), middle in zip(came, outputs[:, 1].tolist(), strict=True)
    ]
    return np.array(guesses).reshape(len(came), len(SHARES)), outputs


def _log2(guesses: Sequence[float] | Array, runs: Sequence[Run]) -> float:
    errors = [
        max(run.log_ms - guess, 0.0) if run.censored else abs(run.log_ms - guess)
        for guess, run in zip(guesses, runs, strict=True)
    ]
    return float(np.mean(errors)) / math.log(2) if errors else math.inf
