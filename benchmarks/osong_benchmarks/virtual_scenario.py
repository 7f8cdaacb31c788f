"""What a simulated campaign is given, and where its core time went."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Scenario", "Tally"]


@dataclass(frozen=True)
class Scenario:
    """What is simulated.

    Attributes
    ----------
    n_molecules
        Of the library.
    n_pilots, nodes_per_pilot, threads_per_node
        Jobs of the array, and what each gets.
    molecule_s
        Mean core seconds of docking.
    chunk_spread, node_spread
        Standard deviation of the logarithm of a chunk's time and of a node's speed.
    slow_share
        Nodes of half the speed.
    stagger_s
        Jobs start within so many seconds.
    pilot_start_s, worker_start_s
        Until a pilot runs, and from then until its workers have loaded and compiled all they need.
    limit_s, grace_s
        Time limit of a job, and how long before it the warning comes.
    requeue_s
        Until a job that ended too early starts again.
    node_mtbf_h, pilot_mtbf_h
        Mean hours between failures of one node, and of one pilot, which takes its job along.
    detect_s
        Until a scheduler misses a node.
    call_s
        What a busy file system takes for a listing or a claim, beside the CPU time of the call.
    beat_s
        Between a pilot's signs of life.
    view_s
        See `VirtualFolder`.
    seed
        Of everything random.
    """

    n_molecules: int
    n_pilots: int
    nodes_per_pilot: int = 4
    threads_per_node: int = 25
    molecule_s: float = 0.32
    chunk_spread: float = 0.3
    node_spread: float = 0.05
    slow_share: float = 0.01
    stagger_s: float = 300.0
    pilot_start_s: float = 20.0
    worker_start_s: float = 60.0
    limit_s: float = math.inf
    grace_s: float = 420.0
    requeue_s: float = 300.0
    node_mtbf_h: float = math.inf
    pilot_mtbf_h: float = math.inf
    detect_s: float = 60.0
    call_s: float = 0.1
    beat_s: float = 20.0
    view_s: float = 1.0
    seed: int = 0

    @property
    def n_threads(self) -> int:
        """All docking processes at a time."""
        return self.n_pilots * self.nodes_per_pilot * self.threads_per_node


@dataclass
class Tally:
    """Where the seconds went; core seconds but for ``wall_s``.

    Attributes
    ----------
    wall_s
        From the first job's start to the last one's end.
    allocated_s
        Of all threads of running jobs.
    docking_s
        Docking that gave a part.
    files_s, pack_s
        Reading records, the way to the docking processes and back, parts; packing.
    lost_s, double_s
        Docking that was under way when its node or job ended; docking of what others had done too.
    starting_s
        Threads that wait for their pilot and load.
    feed_s, beat_s, dask_s
        CPU of the pilots: feed and claims, signs of life, Dask's scheduler.
    n_tasks, n_chunks_twice, n_chunks_lost
        Tasks that ended; chunks that had a part already; chunks whose work was lost.
    n_nodes_lost, n_pilots_lost, n_requeued
        What went wrong.
    slowest_s
        The longest that one call of a feed took, waiting for the file system included.
    """

    wall_s: float = 0.0
    allocated_s: float = 0.0
    docking_s: float = 0.0
    files_s: float = 0.0
    pack_s: float = 0.0
    lost_s: float = 0.0
    double_s: float = 0.0
    starting_s: float = 0.0
    feed_s: float = 0.0
    beat_s: float = 0.0
    dask_s: float = 0.0
    slowest_s: float = 0.0
    n_tasks: int = 0
    n_chunks_twice: int = 0
    n_chunks_lost: int = 0
    n_nodes_lost: int = 0
    n_pilots_lost: int = 0
    n_requeued: int = 0

    @property
    def efficiency(self) -> float:
        """Share of the allocated core time that was docking."""
        return self.docking_s / self.allocated_s

    @property
    def overhead(self) -> float:
        """Share of the core time that the campaign itself took, beside the docking."""
        own = self.files_s + self.pack_s + self.feed_s + self.beat_s + self.dask_s
        return own / self.allocated_s
