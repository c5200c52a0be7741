"""The first of many equal messages goes at once, the others together."""

from __future__ import annotations

import threading

from jobs.coalescing import Coalescer, Message
from tests.waiting import wait_until

HELLO = ("greetings", "hello")
BYE = ("greetings", "bye")


def test_the_first_goes_at_once_and_the_rest_as_one() -> None:
    sent: list[list[Message]] = []
    coalescer = Coalescer(sent.append, {"greetings": 3600})
    for _ in range(100):
        coalescer.offer([HELLO])
    assert sent == [[HELLO]]
    coalescer.close()
    assert sent == [[HELLO], [HELLO]]
    coalescer.close()
    assert len(sent) == 2


def test_different_messages_do_not_wait_for_each_other() -> None:
    sent: list[list[Message]] = []
    coalescer = Coalescer(sent.append, {"greetings": 3600})
    coalescer.offer([HELLO])
    coalescer.offer([BYE, HELLO])
    assert sent == [[HELLO], [BYE]]


def test_what_was_held_back_goes_by_itself_when_its_window_ends() -> None:
    sent: list[tuple[str, list[Message]]] = []
    coalescer = Coalescer(
        lambda messages: sent.append((threading.current_thread().name, messages)), {"greetings": 0.05}
    )
    coalescer.offer([HELLO])
    coalescer.offer([HELLO])
    wait_until(lambda: len(sent) == 2, message="the second message never went")
    assert sent[1] == ("coalescer", [HELLO])


def test_a_channel_without_a_window_holds_nothing_back() -> None:
    sent: list[list[Message]] = []
    coalescer = Coalescer(sent.append, {})
    coalescer.offer([HELLO])
    coalescer.offer([HELLO])
    assert sent == [[HELLO], [HELLO]]
