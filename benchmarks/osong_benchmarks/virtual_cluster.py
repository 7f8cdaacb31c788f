"""A cluster that is not there: jobs, nodes and threads with a clock of their own.

Pilots' feeds, claims and signs of life are the real ones, on real files; docking, nodes and their
failures are drawn at random. The seconds that the real code takes are charged to the pilots.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from osong_benchmarks.campaign_costs import RowCost
from osong_benchmarks.virtual_folder import VirtualFolder
from osong_benchmarks.virtual_scenario import Scenario, Tally
from osong_workflows.events import LogFile, Publisher
from osong_workflows.feed import Feed
from osong_workflows.pilots import PilotState, PilotWatch
from osong_workflows.tasks import DockChunk, PackShard, Task, TaskResult

__all__ = ["Cluster"]

_LATENCY_S: Final = 0.005
"""From a scheduler to a thread."""
_DASK_S: Final = 0.0012
"""CPU of Dask's scheduler a task, with some hundred workers (measured: docs/scaling.md)."""
_LOOK_S: Final = 0.5
"""How often a runner asks again for tasks while there are none."""


class Cluster:
    """Jobs of one array that work at one campaign.

    Parameters
    ----------
    scenario
        What to simulate.
    costs
        What real code takes for a row.
    """

    def __init__(self, scenario: Scenario, costs: RowCost) -> None:
        self.scenario = scenario
        self.costs = costs
        self.now = 0.0
        self.tally = Tally()
        self.rng = np.random.default_rng(scenario.seed)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = itertools.count()
        self._last_end = 0.0

    def clock(self) -> float:
        """Return the time of the simulation, seconds."""
        return self.now

    def run(self, place: VirtualFolder) -> Tally:
        """Work at a campaign until it is finished and every job has ended."""
        self.place = place
        spread = self.scenario.chunk_spread
        # The mean of a lognormal number is above its median.
        draws = self.rng.normal(-(spread**2) / 2, spread, place.plan.n_chunks)
        self.chunk_factor = np.exp(draws).astype(np.float32)
        for index in range(self.scenario.n_pilots):
            self.at(self.rng.uniform(0, self.scenario.stagger_s), self.start_job, index, 0)
        with place.in_use():
            while self._events:
                self.now, _, function, arguments = heapq.heappop(self._events)
                function(*arguments)
        self.tally.wall_s = self._last_end
        return self.tally

    def at(self, when: float, function: Callable[..., None], *arguments: Any) -> None:
        """Have something called at a time."""
        heapq.heappush(self._events, (when, next(self._number), function, arguments))

    def start_job(self, index: int, restart: int) -> None:
        """Give a job its nodes, unless there is nothing to do any more."""
        if not self.place.is_finished:
            _Flight(self, index, restart)

    def ended(self, index: int, restart: int) -> None:
        """Start a job again that ended before the campaign did."""
        self._last_end = max(self._last_end, self.now)
        if not self.place.is_finished:
            self.tally.n_requeued += 1
            self.at(self.now + self.scenario.requeue_s, self.start_job, index, restart + 1)

    def waiting_s(self, mean_h: float) -> float:
        """Draw the seconds until something fails."""
        return math.inf if math.isinf(mean_h) else float(self.rng.exponential(3600 * mean_h))


@dataclass(eq=False)
class _Node:
    """A node of a job."""

    speed: float
    since: float
    n_free: int = 0
    is_up: bool = True
    has_joined: bool = False
    running: dict[int, tuple[Task, float, float]] = field(default_factory=dict)
    """By number: task, when it began, its docking seconds."""


class _Flight:
    """A job from its start to its end: a pilot and its nodes."""

    def __init__(self, cluster: Cluster, index: int, restart: int) -> None:
        self.cluster, self.index, self.restart = cluster, index, restart
        self.is_over = False
        scenario, rng = cluster.scenario, cluster.rng
        is_slow = rng.random(scenario.nodes_per_pilot) < scenario.slow_share
        speeds = rng.lognormal(0, scenario.node_spread, scenario.nodes_per_pilot)
        speeds = np.where(is_slow, 0.5, 1.0) * speeds
        self.nodes = [_Node(speed, cluster.now) for speed in speeds.tolist()]
        self.waiting: deque[Task] = deque()
        self.busy_until = 0.0
        self.n_beats = 0
        self.has_look = False
        self.numbers = itertools.count()
        begin = cluster.now + scenario.pilot_start_s
        cluster.at(begin, self._guarded, self.fly)
        for node in self.nodes:
            joins = begin + scenario.worker_start_s * rng.uniform(0.7, 1.6)
            cluster.at(joins, self._guarded, self.join, node)
            self._maybe(scenario.node_mtbf_h, self.lose_node, node)
        self._maybe(scenario.pilot_mtbf_h, self.crash)
        if math.isfinite(scenario.limit_s):
            warning = cluster.now + scenario.limit_s - scenario.grace_s
            cluster.at(warning, self._guarded, self.drain)

    def _maybe(self, mean_h: float, function: Callable[..., None], *arguments: Any) -> None:
        wait = self.cluster.waiting_s(mean_h)
        if math.isfinite(wait):
            self.cluster.at(self.cluster.now + wait, self._guarded, function, *arguments)

    def _guarded(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call something, unless the job has ended meanwhile."""
        if not self.is_over:
            function(*arguments)

    def fly(self) -> None:
        """Begin the pilot, as ``osong_workflows.pilot.fly`` does."""
        cluster = self.cluster
        place = cluster.place
        name = f"1_{self.index}"
        self.me = PilotState(
            id=f"{name}-{self.restart}-{self.index:012x}", host=f"node{self.index}",
            node=f"node{self.index}", pid=1, process_start=0, boot_id="", pid_namespace=0,
            job=name, restart=self.restart, begun="2026-01-01T00:00:00+00:00", runner="srun",
        )  # fmt: skip
        self.me.write(place.folder)
        log = LogFile(place.folder.logs / f"{self.me.id}.jsonl", place.plan.key)
        place.add_files(2)
        watch = PilotWatch(place.folder, self.me, clock=cluster.clock)
        self.feed = Feed(
            place.folder, place.plan, self.me, watch, Publisher([log]), is_live=False,
            clock=cluster.clock,
        )  # fmt: skip
        self.beat()

    def join(self, node: _Node) -> None:
        """Take a node's threads into work."""
        if not node.is_up:
            return
        n_threads = self.cluster.scenario.threads_per_node
        self.cluster.tally.starting_s += n_threads * (self.cluster.now - node.since)
        node.has_joined = True
        node.n_free = n_threads
        self.timed(self.feed.workers, self.n_nodes, self.n_nodes * n_threads)
        self.pump()

    @property
    def n_nodes(self) -> int:
        """Nodes that work."""
        return sum(node.is_up and node.has_joined for node in self.nodes)

    def beat(self) -> None:
        """Show life."""
        self.n_beats += 1
        begin = time.thread_time()
        state = self.feed.state().model_copy(update={"beat": self.n_beats})
        state.write(self.cluster.place.folder)
        self.cluster.tally.beat_s += time.thread_time() - begin
        self.cluster.place.counts["sign of life"] += 1
        self.cluster.at(self.cluster.now + self.cluster.scenario.beat_s, self._guarded, self.beat)

    def timed(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call the feed and charge the seconds that it takes to the pilot."""
        tally, counts = self.cluster.tally, self.cluster.place.counts
        n_calls = counts.total()
        begin = time.thread_time()
        answer = function(*arguments, **named)
        seconds = time.thread_time() - begin
        tally.feed_s += seconds
        seconds += (counts.total() - n_calls) * self.cluster.scenario.call_s
        tally.slowest_s = max(tally.slowest_s, seconds)
        self.busy_until = max(self.busy_until, self.cluster.now) + seconds
        return answer

    def pump(self) -> None:
        """Keep every thread at work, as ``osong_workflows.runners.remote`` does."""
        n_threads = self.n_nodes * self.cluster.scenario.threads_per_node
        n_running = sum(len(node.running) for node in self.nodes)
        window = n_threads + max(2, n_threads // 4)
        while n_running + len(self.waiting) < window:
            task = self.timed(self.feed.take, wait=False)
            if task is None:
                self.look_again()
                break
            self.waiting.append(task)
        for node in self.nodes:
            while node.n_free and self.waiting:
                self.begin(node, self.waiting.popleft())
        if not self.waiting and not any(node.running for node in self.nodes):
            self.maybe_end()

    def look_again(self) -> None:
        """Ask for tasks later."""
        if not self.has_look:
            self.has_look = True
            self.cluster.at(self.cluster.now + _LOOK_S, self._guarded, self.look)

    def look(self) -> None:
        """Ask for tasks now."""
        self.has_look = False
        self.pump()

    def begin(self, node: _Node, task: Task) -> None:
        """Have a thread of a node do a task."""
        cluster = self.cluster
        plan, costs = cluster.place.plan, cluster.costs
        if isinstance(task, PackShard):
            docking_s, own_s = 0.0, plan.shard(task.shard).n_records * costs.pack_s
        else:
            n = plan.chunk(task.chunk).n_records
            mean_s = n * cluster.scenario.molecule_s
            docking_s = mean_s * float(cluster.chunk_factor[task.chunk]) / node.speed
            own_s = n * costs.chunk_s
        node.n_free -= 1
        number = next(self.numbers)
        cluster.tally.dask_s += _DASK_S
        begin = max(cluster.now, self.busy_until) + _LATENCY_S + _DASK_S
        node.running[number] = (task, begin, docking_s)
        cluster.at(begin + docking_s + own_s, self._guarded, self.end, node, number, own_s)

    def end(self, node: _Node, number: int, own_s: float) -> None:
        """Take the result of a task."""
        if not node.is_up:
            return
        task, _, docking_s = node.running.pop(number)
        node.n_free += 1
        cluster, tally = self.cluster, self.cluster.tally
        place = cluster.place
        tally.n_tasks += 1
        n_ok = 0
        if isinstance(task, PackShard):
            tally.pack_s += own_s
            place.add_shard(place.plan.shard(task.shard))
        else:
            tally.files_s += own_s
            chunk = place.plan.chunk(task.chunk)
            n_ok = chunk.n_records
            if place.add_chunk(chunk):
                tally.docking_s += docking_s
            else:
                tally.double_s += docking_s
                tally.n_chunks_twice += 1
        result = TaskResult(host="node", seconds=docking_s + own_s, n_ok=n_ok)
        self.timed(self.feed.done, task, result)
        self.pump()

    def lose_node(self, node: _Node) -> None:
        """Lose a node; its tasks are done by others when the scheduler has noticed."""
        cluster = self.cluster
        cluster.tally.n_nodes_lost += 1
        tasks = [task for task, *_ in node.running.values()]
        self._lose(node)
        node.is_up = False
        if not any(other.is_up for other in self.nodes):
            self.crash()
            return
        cluster.at(cluster.now + cluster.scenario.detect_s, self._guarded, self.again, tasks)

    def again(self, tasks: list[Task]) -> None:
        """Have tasks of a lost node done by others."""
        self.waiting.extendleft(tasks)
        self.pump()

    def _lose(self, node: _Node) -> None:
        """Count what a node did in vain, and its time until now."""
        tally, now = self.cluster.tally, self.cluster.now
        n_threads = self.cluster.scenario.threads_per_node
        tally.allocated_s += n_threads * (now - node.since)
        if not node.has_joined:
            tally.starting_s += n_threads * (now - node.since)
        for task, begin, docking_s in node.running.values():
            tally.lost_s += min(max(0.0, now - begin), docking_s)
            tally.n_chunks_lost += isinstance(task, DockChunk)
        node.running.clear()

    def crash(self) -> None:
        """End without another word."""
        self.cluster.tally.n_pilots_lost += 1
        self.leave()

    def drain(self) -> None:
        """Heed the warning before the time limit."""
        if hasattr(self, "feed"):
            scenario = self.cluster.scenario
            grace_s = scenario.grace_s - 60.0
            self.feed.drain(grace_s)
            self.cluster.at(self.cluster.now + grace_s, self._guarded, self.land)
            self.waiting.clear()
            self.pump()

    def maybe_end(self) -> None:
        """End when there is nothing to do and never will be."""
        if self.feed.is_finished or self.feed.state().state == "stopping":
            self.land()
        else:
            self.look_again()

    def land(self) -> None:
        """End in good order: claims are given up, the file says so."""
        self.timed(self.feed.close)
        state = self.feed.state().model_copy(update={"beat": self.n_beats + 1, "state": "ended"})
        state.write(self.cluster.place.folder)
        self.leave()

    def leave(self) -> None:
        """Give the nodes back."""
        self.is_over = True
        for node in self.nodes:
            if node.is_up:
                self._lose(node)
        self.cluster.ended(self.index, self.restart)
