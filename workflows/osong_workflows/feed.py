"""`Feed`: a pilot's tasks: shards are claimed, docked chunk by chunk, packed at the end."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from osong.errors import CampaignError
from osong_workflows.claims import Claim, Claims
from osong_workflows.events import (
    BackendNote,
    ChunkFinished,
    DoneElsewhere,
    MoleculesDone,
    PartSetAside,
    ShardClaimed,
    ShardFinished,
    TaskLost,
    WorkerRejected,
    WorkerRestarted,
)
from osong_workflows.packing import check_chunk_parts
from osong_workflows.part_names import FinishedShards, is_finished
from osong_workflows.tasks import DockChunk, PackShard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osong_workflows.events import Publisher
    from osong_workflows.folder import CampaignFolder
    from osong_workflows.pilots import Clock, PilotState, PilotWatch
    from osong_workflows.plan import Plan
    from osong_workflows.tasks import Task, TaskResult

__all__ = ["Feed"]

_POLL_S: Final = 2.0
"""Between two looks at the claims of others while there is nothing to do; grows to the next."""
_SLOW_POLL_S: Final = 15.0
_LOOK_S: Final = 15.0
"""How often a pilot looks whether its shards are still its own."""
_NAP_S: Final = 0.5
"""How soon a signal is heeded while there is nothing to do."""
_MAX_LOST: Final = 6
"""A chunk whose worker dies so often, with care included, is not a matter of one molecule; nor is a
shard that cannot be packed."""


@dataclass
class _Held:
    """A shard that this pilot works at: its claim, and its chunks that have no part yet."""

    claim: Claim
    left: set[int] = field(default_factory=set)


class Feed:
    """Hands out a pilot's tasks (a ``TaskSource``) and keeps its books.

    All but `drain` and `state` is called from one thread.

    Parameters
    ----------
    folder, plan
        The campaign.
    me
        The pilot.
    watch
        Who of the others lives.
    publisher
        Who hears of progress.
    is_live
        Tasks are done in this process, whose `Run` tells of each molecule itself.
    clock
        Seconds that only grow.
    """

    def __init__(
        self,
        folder: CampaignFolder,
        plan: Plan,
        me: PilotState,
        watch: PilotWatch,
        publisher: Publisher,
        *,
        is_live: bool,
        clock: Clock = time.monotonic,
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._me = me
        self._claims = Claims(folder, me.id, watch)
        self._publisher = publisher
        self._is_live = is_live
        self._clock = clock
        self._held: dict[int, _Held] = {}
        self._ready: deque[Task] = deque()
        self._under_way: set[Task] = set()
        self._n_lost: Counter[Task] = Counter()
        self._finished: set[int] = set()
        self._seen = FinishedShards(folder, plan)
        self._own: set[int] | None = None
        self._elsewhere: set[int] = set()
        self._n_elsewhere = 0
        self._next_scan = 0.0
        self._next_look = 0.0
        self._next_over = 0.0
        self._poll_s = _POLL_S
        self._failures: Counter[str] = Counter()
        self._notes: set[tuple[str, str]] = set()
        self._is_draining = False
        self._give_up_at = float("inf")

    @property
    def is_finished(self) -> bool:
        """Whether every shard of the campaign has its part."""
        return len(self._finished) == self._plan.n_shards

    @property
    def is_over(self) -> bool:
        """Whether the campaign is finished, by whomever: a pilot without workers has to look."""
        if not self.is_finished and self._clock() >= self._next_over:
            self._next_over = self._clock() + _SLOW_POLL_S
            self._finished |= self._seen.look()
        return self.is_finished

    @property
    def is_stopping(self) -> bool:
        """Whether what is under way should be given up now."""
        return self._clock() >= self._give_up_at

    def drain(self, grace_s: float) -> None:
        """Hand out nothing more, and give up what is still under way after some seconds.

        Called from a signal's handler: it takes no lock that the interrupted code may hold.
        """
        self._give_up_at = min(self._give_up_at, self._clock() + grace_s)
        self._is_draining = True

    def take(self, *, wait: bool) -> Task | None:
        """Return the next task (see ``TaskSource.take``)."""
        while not self._is_draining:
            task = self._next()
            if task is not None:
                self._under_way.add(task)
                return task
            if self.is_finished or not wait:
                return None
            time.sleep(min(_NAP_S, max(0.05, self._next_scan - self._clock())))
        return None

    def done(self, task: Task, result: TaskResult) -> None:
        """Take the result of a task."""
        self._under_way.discard(task)
        self._tell_damaged(result.damaged)
        self._count(result)
        if isinstance(task, DockChunk):
            self._tell_chunk(task, result)
            held = self._held.get(self._plan.shard_of(task.chunk))
            if held is not None and task.chunk in held.left:
                held.left.discard(task.chunk)
                if not held.left:
                    self._complete(held)
        elif result.redo:
            held = self._held.get(task.shard)
            if held is not None:
                self._hand_out(held, result.redo)
        else:
            self._finish(task.shard)

    def lost(self, task: Task, reason: str) -> None:
        """Take back a task whose worker died, repeatedly, with it.

        Raises
        ------
        CampaignError
            It did so too often.
        """
        self._under_way.discard(task)
        again: Task = task
        what = f"shard {self._shard(task)}"
        if isinstance(task, DockChunk):
            again = DockChunk(task.chunk, with_care=True)
            what = f"chunk {task.chunk}"
            self._publisher(TaskLost(task.chunk, reason))
        self._n_lost[again] += 1
        if self._n_lost[again] >= _MAX_LOST:
            raise CampaignError(
                f"{self._folder.path}: {what} lost its worker {_MAX_LOST} times ({reason}); see "
                f"{self._folder.logs}, then run osong doctor on the nodes"
            )
        if self._shard(task) in self._held:
            self._ready.append(again)

    def rejected(self, host: str, reason: str) -> None:
        """Hear of a worker that was sent away because it could not work."""
        self._publisher(WorkerRejected(host, reason))
        self._update(rejected=(*self._me.rejected, (host, reason[:300])))

    def workers(self, n_workers: int, n_threads: int) -> None:
        """Hear how many workers there are now, and how many tasks they do at a time."""
        self._update(n_workers=n_workers, n_threads=n_threads)

    def state(self) -> PilotState:
        """Return what the pilot's file shall say."""
        if self._is_draining:
            doing = "stopping"
        else:
            doing = "working" if self._under_way or self._ready else "waiting"
        return self._me.model_copy(
            update={
                "state": doing,
                "tasks": len(self._under_way),
                "shards": tuple(sorted(self._held)),
                "failures": dict(sorted(self._failures.items())),
            }
        )

    def close(self) -> None:
        """Give up the shards that are not finished, so that others need not wait for a lease."""
        for held in self._held.values():
            self._claims.release(held.claim)
        self._held.clear()
        self._ready.clear()

    def _next(self) -> Task | None:
        """Return a task, claiming shards where none is left; None if there is none now."""
        self._forget_stolen()
        while not self._ready:
            if self._clock() < self._next_scan:
                return None
            if not self._claim():
                self._next_scan = self._clock() + self._poll_s
                self._poll_s = min(2 * self._poll_s, _SLOW_POLL_S)
                return None
            self._poll_s = _POLL_S
        return self._ready.popleft()

    def _claim(self) -> bool:
        """Claim one more shard; False where there is none to be had."""
        # Claims first: who finished a shard gives its claim up after its part is there.
        generations = self._claims.generations()
        self._finished = set(self._seen.look())
        self._tell_elsewhere()
        for shard in self._free(generations):
            claim = self._claims.take(shard)
            if claim is not None and self._begin(claim):
                return True
        for shard, generation in sorted(generations.items()):
            if shard not in self._held and shard not in self._finished:
                claim = self._claims.take_over(shard, generation)
                if claim is not None and self._begin(claim):
                    return True
        return False

    def _free(self, generations: dict[int, int]) -> Iterator[int]:
        """Yield unfinished shards that nobody has, in an order of this pilot's own."""
        # Elements of an array start together; a process alone begins at the beginning.
        is_alone = not self._me.job and not generations.keys() - self._held.keys()
        fine_from = self._plan.cut.fine_from
        # The finer shards last, by all: they are there to end together.
        for shards in (range(fine_from), range(fine_from, self._plan.n_shards)):
            begin = 0 if is_alone or not shards else _spread(self._me.id, len(shards))
            for shard in (*shards[begin:], *shards[:begin]):
                if shard not in generations and shard not in self._finished:
                    yield shard

    def _forget_stolen(self) -> None:
        """Stop working at shards that others took over while this pilot showed no life.

        They may have finished and released them since: then the claim is gone.
        """
        if self._clock() < self._next_look:
            return
        self._next_look = self._clock() + _LOOK_S
        for shard, held in list(self._held.items()):
            if not self._claims.holds(held.claim):
                del self._held[shard]
                self._ready = deque(task for task in self._ready if self._shard(task) != shard)

    def _shard(self, task: Task) -> int:
        if isinstance(task, PackShard):
            return task.shard
        return self._plan.shard_of(task.chunk)

    def _begin(self, claim: Claim) -> bool:
        """Hand out the chunks of a new shard that have no part; False where it is finished."""
        if is_finished(self._folder, self._plan, claim.shard, self._me.id):
            # The listing of parts was older than that of claims, as NFS may have it.
            self._finished.add(claim.shard)
            self._claims.release(claim)
            return False
        self._publisher(ShardClaimed(claim.shard, claim.generation))
        self._held[claim.shard] = held = _Held(claim)
        shard = self._plan.shard(claim.shard)
        done: Sequence[int] = ()
        if self._plan.shard_chunks > 1:
            valid, damaged = check_chunk_parts(self._folder, self._plan, claim.shard)
            self._tell_damaged(damaged)
            done = tuple(valid)
        left = [chunk for chunk in shard.chunks if chunk not in done]
        if left:
            self._hand_out(held, left)
        else:
            self._complete(held)
        return True

    def _hand_out(self, held: _Held, chunks: Sequence[int]) -> None:
        held.left.update(chunks)
        self._ready.extend(DockChunk(chunk, held.claim.needs_care) for chunk in chunks)

    def _complete(self, held: _Held) -> None:
        """All chunks of a shard have their parts."""
        if self._plan.shard_chunks > 1:
            # First in the row: until it is packed, a shard is many files.
            self._ready.appendleft(PackShard(held.claim.shard))
        else:
            self._finish(held.claim.shard)

    def _finish(self, shard: int) -> None:
        self._finished.add(shard)
        if self._own is not None:
            self._own.add(shard)
        held = self._held.pop(shard, None)
        if held is not None:
            self._claims.release(held.claim)
        self._publisher(ShardFinished(shard))

    def _tell_elsewhere(self) -> None:
        """Tell how much others have finished since this pilot's first look."""
        if self._own is None:
            # What was there at the beginning is in what the run begins with.
            self._own = set(self._finished)
        elsewhere = self._finished - self._own
        more, less = elsewhere - self._elsewhere, self._elsewhere - elsewhere
        if more or less:
            self._elsewhere = elsewhere
            self._n_elsewhere += self._n_records(more) - self._n_records(less)
            self._publisher(DoneElsewhere(self._n_elsewhere))

    def _n_records(self, shards: Iterable[int]) -> int:
        return sum(self._plan.shard(index).n_records for index in shards)

    def _tell_damaged(self, damaged: Sequence[tuple[str, str, str]]) -> None:
        for part, moved_to, reason in damaged:
            self._publisher(PartSetAside(part, moved_to, reason))

    def _tell_chunk(self, task: DockChunk, result: TaskResult) -> None:
        if not self._is_live:
            for restart in result.restarts:
                self._publisher(WorkerRestarted(restart.index, restart.name, restart.reason))
            for note in result.notes:
                # A thousand nodes alike say once where they dock; what fails, fails on one of them.
                host = "" if note.startswith("backend ") else result.host
                if (host, note) not in self._notes:
                    self._notes.add((host, note))
                    self._publisher(BackendNote(result.host, note))
            self._publisher(MoleculesDone(result.n_ok, result.n_failed))
        seconds = round(result.seconds, 3)
        self._publisher(
            ChunkFinished(task.chunk, result.n_ok, result.n_failed, seconds, result.host)
        )

    def _count(self, result: TaskResult) -> None:
        self._failures += Counter(result.failures)
        self._update(
            n_ok=self._me.n_ok + result.n_ok,
            n_failed=self._me.n_failed + result.n_failed,
            core_seconds=round(self._me.core_seconds + result.seconds, 3),
            n_restarts=self._me.n_restarts + len(result.restarts),
        )

    def _update(self, **fields: object) -> None:
        self._me = self._me.model_copy(update=fields)


def _spread(pilot: str, n_shards: int) -> int:
    """Return where in the library a pilot begins to look, so that not all look at one place."""
    return int.from_bytes(blake2b(pilot.encode(), digest_size=8).digest()) % n_shards
