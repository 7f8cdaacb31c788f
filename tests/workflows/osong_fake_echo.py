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
    """What is echoed; ``ballast`` may be more than a pipe holds."""

    index: int
    name: str = "number"
    ballast: bytes = b""


def build(target_path: str, settings: Settings) -> TwoSteps:
    """Answer each number with all those that were ready by then."""
    ready: list[int] = []

    def get_ready(number: Number) -> int:
        if number.index == HANGS:
            time.sleep(3600)
        ready.append(number.index)
        return number.index

    def finish(number: int) -> tuple[int, list[int]]:
        time.sleep(0.3)
        return number, list(ready)

    return TwoSteps(get_ready, finish)
