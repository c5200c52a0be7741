from __future__ import annotations

from threadpoolctl import threadpool_info

from predictor.blas import one_thread


def threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_products_stay_on_one_thread_within() -> None:
    before = threads()
    with one_thread():
        within = threads()
    assert within
    assert set(within) == {1}
    assert threads() == before
