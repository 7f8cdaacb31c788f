"""`one_thread`: PyTorch's number of threads, which is the process's, set by one user at a time."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["one_thread"]

_are_set: Final = Lock()
"""What one gives back, another must not have read."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread, and give it back what it had; one such block at a time."""
    import torch

    with _are_set:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
