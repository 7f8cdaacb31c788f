"""Claims: who works at which shard, by files that only one process can create.

A claim is the file ``SSSSSS.G``: shard and generation; the highest generation holds. It is created
with ``O_CREAT | O_EXCL``, which is atomic on local disks, NFS (since version 3), Lustre and GPFS,
and nothing else is relied on: no locks, no clocks. A shard whose holder is dead is taken over by
creating the next generation. Two pilots that both think a shard theirs do its work twice and do no
harm.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from osong_workflows.folder import full_disk, names_in

if TYPE_CHECKING:
    from pathlib import Path

    from osong_workflows.folder import CampaignFolder
    from osong_workflows.pilots import PilotWatch

__all__ = ["Claim", "Claims"]

_NAME: Final = re.compile(r"(\d{6,})\.(\d+)")
CARE_GENERATION: Final = 3
"""Two pilots died with this shard: whoever comes next is careful, in case a molecule did it."""


@dataclass(frozen=True)
class Claim:
    """The claim that holds for a shard.

    Attributes
    ----------
    shard
        Its index.
    generation
        1, and one more each time that it was taken from a dead pilot.
    pilot
        Who has it; "" where its holder died as it wrote this.
    """

    shard: int
    generation: int
    pilot: str

    @property
    def needs_care(self) -> bool:
        """Whether so many died with this shard that a molecule may be to blame."""
        return self.generation >= CARE_GENERATION


class Claims:
    """The claims of a campaign, as one pilot sees and makes them.

    Parameters
    ----------
    folder
        The campaign.
    pilot
        Whose claims are made.
    watch
        Who lives.
    """

    def __init__(self, folder: CampaignFolder, pilot: str, watch: PilotWatch) -> None:
        self._folder = folder
        self._pilot = pilot
        self._watch = watch
        self._holders: dict[tuple[int, int], str] = {}

    def generations(self) -> dict[int, int]:
        """Return the generation of every claimed shard; nothing is read but names."""
        found: dict[int, int] = {}
        for name in names_in(self._folder.claims):
            match = _NAME.fullmatch(name)
            if match:
                shard, generation = int(match[1]), int(match[2])
                found[shard] = max(generation, found.get(shard, 0))
        return found

    def take(self, shard: int, generation: int = 1) -> Claim | None:
        """Claim a shard, or return None where another was faster."""
        with full_disk(self._folder.path):
            self._folder.claims.mkdir(exist_ok=True)
            path = self._path(shard, generation)
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            except FileExistsError:
                return None
            try:
                os.write(descriptor, self._pilot.encode())
            except OSError:
                path.unlink(missing_ok=True)
                raise
            finally:
                os.close(descriptor)
        return Claim(shard, generation, self._pilot)

    def take_over(self, shard: int, generation: int) -> Claim | None:
        """Claim a shard of a dead pilot, or return None: it lives, or another was faster."""
        # A claim without a name in it is watched by its own: nothing can ever move there.
        known = self._holders.get((shard, generation)) or self._holder(shard, generation)
        self._holders[shard, generation] = known
        holder = known or f"nobody-{shard}-{generation}"
        if not self._watch.is_dead(holder):
            return None
        return self.take(shard, generation + 1)

    def holds(self, claim: Claim) -> bool:
        """Return whether a claim of this pilot still holds: nobody took the shard over."""
        return (
            not self._path(claim.shard, claim.generation + 1).exists()
            and self._holder(claim.shard, claim.generation) == self._pilot
        )

    def release(self, claim: Claim) -> None:
        """Give a shard up: it is finished, or somebody else shall go on with it."""
        if not self.holds(claim):
            return
        # The own one last: until then nobody takes an older generation for the one that holds.
        for generation in range(1, claim.generation + 1):
            # A claim that stays on a stale mount costs whoever comes next a lease, no more.
            with contextlib.suppress(OSError):
                self._path(claim.shard, generation).unlink()

    def _holder(self, shard: int, generation: int) -> str:
        try:
            return self._path(shard, generation).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def _path(self, shard: int, generation: int) -> Path:
        return self._folder.claims / f"{shard:06d}.{generation}"
