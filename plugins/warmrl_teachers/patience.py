"""When one request of many is given up, and when the server itself is taken for dead."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from warmrl.api import ServiceError
from warmrl_teachers.client import Client, Refused

T = TypeVar("T")

# Refusals that are about who asks and what for, not about one request: no key, no credit, no such model or path.
FOR_ALL = (401, 402, 403, 404, 405)
# Given up requests that end the run when no more than these were answered.
MOST = 8


class Patience:
    """Lets single requests go, and counts them: `given_up`, of which `first` is told, and `answered`."""

    def __init__(self) -> None:
        self.answered = self.given_up = 0
        self.first = ""
        self.lock = threading.Lock()

    def spare(self, client: Client, work: Callable[[], T]) -> T | str:
        """What a request gives, or why there is nothing.

        Raises `ServiceError` when it says more of the server than of the request: nobody there, the key or the model
        refused, or more given up than answered.
        """
        try:
            found = work()
        except ServiceError as error:
            status = error.status if isinstance(error, Refused) else 0
            with self.lock:
                self.given_up += 1
                self.first = self.first or str(error)
                hopeless = self.given_up > max(self.answered, MOST)
            if hopeless or status in FOR_ALL or not answers(client):
                raise
            return f"refused (HTTP {status})" if status else "no usable reply"
        with self.lock:
            self.answered += 1
        return found


def answers(client: Client) -> bool:
    """Whether there is a server at all: a refusal is an answer too."""
    try:
        client.ask("/models", None, lambda reply: reply is not None)
    except Refused:
        return True
    except ServiceError:
        return False
    return True


def cost(usage: list[Any], price_in: float | None, price_out: float | None) -> str:
    """Tokens of replies, and what they cost at prices for a million of them, in words."""
    known = [one for one in usage if one]
    asked, written = (sum(one[place] for one in known) for place in (0, 1))
    said = f"{asked} prompt and {written} completion tokens"
    if len(known) < len(usage):
        said += f" ({len(usage) - len(known)} replies did not say)"
    if price_in is None and price_out is None:
        return said
    price = (asked * (price_in or 0.0) + written * (price_out or 0.0)) / 1e6
    return f"{said}, {price:.4g} at the prices given"
