"""A method that trains nothing."""

from __future__ import annotations

from typing import Any

from warmrl.api import Group, Method


class NoWarmStart(Method[Any]):
    """Hands on the policy it was given."""

    def total_steps(self) -> int:
        """None at all."""
        return 0

    def groups(self, step: int) -> list[Group]:
        """Never called."""
        return []

    def loss(self, batch: Any) -> Any:
        """Never called."""
        raise NotImplementedError

    def run(self) -> None:
        """Do nothing."""
