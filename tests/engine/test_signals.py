"""A signal asks to stop, its echo is the same wish, and a later one ends the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from warmrl.engine import signals


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def test_an_echo_of_the_first_signal_is_left_alone_and_a_later_one_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, sent = [100.0], []
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    stopping = signals.Stopping()
    assert stopping() == 0
    for _ in range(3):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert stopping() == signal.SIGTERM
    now[0] += signals.SAME_SECONDS + 1
    monkeypatch.setattr(os, "kill", lambda *told: sent.append(told))
    signal.raise_signal(signal.SIGINT)
    assert sent == [(os.getpid(), signal.SIGINT)]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
