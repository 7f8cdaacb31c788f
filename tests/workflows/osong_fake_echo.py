"""A process that echoes numbers in two steps: for tests of what is sent ahead."""

from __future__ import annotations

import time
from dataclasses import dataclass

from osong_workflows.read_ahead import TwoSteps

HANGS = -1


@dataclass(frozen=True)
class Settings:
    docker: str = "osong_fake_echo:build"
    molecule_timeout_s: float = 30.0


@dataclass(frozen=True)
class Number:
    """What is echoed, once another number is ready; ``ballast`` may be more than a pipe holds."""

    index: int
    name: str = "number"
    ballast: bytes = b""
    waits_for: int | None = None


def build(target_path: str, settings: Settings) -> TwoSteps:
    """Answer each number with all those that were ready by then."""
    ready: list[int] = []

    def get_ready(number: Number) -> Number:
        if number.index == HANGS:
            time.sleep(3600)
        ready.append(number.index)
        return number

    def finish(number: Number) -> tuple[int, list[int]]:
        while number.waits_for is not None and number.waits_for not in ready:
            time.sleep(0.01)
        return number.index, list(ready)

    return TwoSteps(get_ready, finish)
