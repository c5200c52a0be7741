"""What a prediction costs where it is served: the registered predictor, its database read, and the network alone.

The history is made by the product: jobs are submitted, claimed and finished as a worker does it. Called by
bench.predict.timing once the product is on the bench's server.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench import product

if TYPE_CHECKING:
    from jobs.prediction import PredictionRequest
    from orgs.models import Organization, User

KEYS, RUNS = 200, 20
BATCH = 10_000
WARM_UP = 20


@dataclass(frozen=True)
class Serving:
    """Milliseconds of each call. `answered`: share of the batch that got a prediction, and no fallback, when it
    was asked for as a submission does."""

    one_ms: list[float]
    network_ms: list[float]
    batch_ms: list[float]
    answered: float
    asked: int
    executions: int
    batch: int = BATCH


def measure(quick: bool = False) -> Serving:
    from jobs.prediction import predict
    from predictor import service

    _remember_nothing()
    org, user = product.people("predictions")
    runs = RUNS // 4 if quick else RUNS
    executions = sum(_execute(org, user) for _ in range(runs))
    _put_a_model_in_force()
    asked = 200 if quick else 2_000
    ones = [_request(org, user, number) for number in range(asked)]
    many = [_request(org, user, number) for number in range(BATCH)]
    _check_that_the_network_answers(ones[0])
    return Serving(
        one_ms=_timed(lambda turn: predict([ones[turn]]), asked),
        network_ms=_timed(_network_alone(), asked),
        batch_ms=_timed(lambda _: service.predict(many), 3 if quick else 7, warm_up=1),
        answered=sum(answer.source != "fallback" for answer in predict(many)) / BATCH,
        asked=asked,
        executions=executions,
    )


def _timed(call: Callable[[int], object], count: int, warm_up: int = WARM_UP) -> list[float]:
    """Milliseconds of `call(0)` to `call(count - 1)`, after some that do not count."""
    for turn in range(warm_up):
        call(turn)
    found = []
    for turn in range(count):
        began = time.perf_counter()
        call(turn)
        found.append((time.perf_counter() - began) * 1000)
    return found


def _remember_nothing() -> None:
    """Each request is predicted anew, without the answers of the last second."""
    from django.conf import settings

    from predictor.apps import PredictorConfig

    settings.PREDICTION_FRESH_S = 0
    PredictorConfig.register()


def _request(org: Organization, user: User, number: int) -> PredictionRequest:
    from jobs.prediction import PredictionRequest

    return PredictionRequest(
        org_id=org.pk,
        type="python",
        name=_name(number),
        user_id=user.pk,
        timeout_s=600,
        payload={"function": "bench.noop", "args": [number]},
    )


def _name(number: int) -> str:
    return f"job {number % KEYS}"


def _execute(org: Organization, user: User) -> int:
    """One job of each name, submitted, claimed and finished; answers how many executions that were."""
    from jobs import claims, leases, services

    rng = np.random.default_rng(0)
    job = {"type": "python", "payload": {"function": "bench.noop"}}
    services.submit_many(org=org, user=user, submissions=[job | {"name": _name(key)} for key in range(KEYS)])
    worker, done = str(uuid.uuid4()), 0
    while claimed := claims.claim(worker_id=worker, types=["python"], limit=KEYS, lease_s=60):
        ended = [
            claims.Finish(job.id, job.attempt, "done", runtime_ms=math.exp(rng.normal(6, 1)), result=None)
            for job in claimed
        ]
        leases.finish(worker_id=worker, ended=ended)
        done += len(claimed)
    return done


def _put_a_model_in_force() -> None:
    """A network as training makes it, with the weights it begins with, believed in full: what it says costs what
    any other does. And the windows that workers would have kept of what ran."""
    from django.utils import timezone

    from predictor import keeping, selectors, store
    from predictor.model import Model
    from predictor.shadow import SHARES, Shadow

    now = timezone.now()
    model = Model.initial(np.random.default_rng(0))
    weights = store.pack(model, levels={})
    store.activate(store.save(weights, origin="", metrics={}, trained_on=0, window=(now, now)))
    keeping.fill(selectors.newest_runs(KEYS * RUNS))
    keeping.keep_trust({(0, ""): Shadow([1.0] * (len(SHARES) - 1) + [0.0])})


def _check_that_the_network_answers(request: PredictionRequest) -> None:
    from predictor import service
    from predictor.estimate import LSTM

    (answer,) = service.predict([request])
    if answer.source != LSTM:
        raise SystemExit(f"bench: expected a prediction of the network, got one of {answer.source!r}.")


def _network_alone() -> Callable[[int], object]:
    """One sequence of full length, forward only."""
    from predictor.blas import use_one_thread
    from predictor.features import ASK_FEATURES, KINDS, RUN_FEATURES, STEPS, Batch
    from predictor.model import Model
    from predictor.traits import BUCKETS, WORDS

    rng = np.random.default_rng(0)
    model = Model.initial(rng)
    batch = Batch(
        ask=rng.normal(size=(1, len(ASK_FEATURES))).astype(np.float32),
        words=rng.integers(0, BUCKETS, (1, len(KINDS) + WORDS)),
        runs=rng.normal(size=(STEPS, 1, len(RUN_FEATURES))).astype(np.float32),
        lengths=np.array([STEPS]),
    )

    use_one_thread()

    def forward(_: int) -> object:
        return model.outputs(batch)

    return forward
