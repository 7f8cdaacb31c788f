"""PREDICTION, not measurement: how fast the search would run on devices that were not there.

Warp instructions of one evaluation of energy and gradient come from the machine code
(`cuda_weights`), rates from the makers' tables. Two bounds are given. The roof: units that never
wait, so that the busiest of them decides. The cautious one: in every chain each instruction waits
for the one before it, and only the other chains of a multiprocessor fill the gaps.

References
----------
[1] NVIDIA, A100 Tensor Core GPU datasheet (2021): 19.5 TFLOPS in FP32, 2,039 GB/s (SXM, 80 GB).
[2] NVIDIA, H100 Tensor Core GPU datasheet (2023): 67 TFLOPS in FP32, 3.35 TB/s (SXM).
[3] NVIDIA, GH200 Grace Hopper Superchip datasheet (2023): 67 TFLOPS in FP32, 4 TB/s (96 GB HBM3),
    72 Arm cores.
[4] NVIDIA, CUDA C++ Programming Guide, table "Throughput of Native Arithmetic Instructions".
[5] W. Luo et al., Benchmarking and Dissecting the Nvidia Hopper GPU Architecture, 2024,
    arXiv:2402.13499: latencies of shared memory, L1, L2 and arithmetic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from osong_benchmarks.cuda_host import HostCosts
from osong_benchmarks.cuda_weights import Place, Rules, Shape, function_at, weigh

__all__ = [
    "DEVICES",
    "DRUG_LIKE",
    "Device",
    "Evaluation",
    "HostRates",
    "Prediction",
    "device_named",
    "evaluation_of",
    "host_rates",
    "predict",
    "search_rules",
]

DRUG_LIKE: Final = Shape(n_atoms=22, n_segments=6, n_pairs=135)
"""The 22-atom ligand of docs/performance.md: five torsions, as in the screen of MOSES there."""
EVALUATIONS_A_LIGAND: Final = 450_000
"""Effort ``fast``: 132.9 ms of search a ligand of the screen in docs/performance.md, at the 3.36
million evaluations a second of that core and ligand."""
_LANES: Final = 32
_SECTOR: Final = 32  # bytes: the least that is read of the second-level cache
_SCHEDULERS: Final = 4
"""Each issues one instruction of a warp in a clock."""

_LANES_A_CLOCK: Final = {
    "integer": 64, "fp64": 64, "mufu": 16, "convert": 16, "shuffle": 32, "ldg32": 32, "ldg64": 16,
    "ldg128": 2, "stg": 32, "lds32": 32, "lds64": 16, "lds128": 8, "sts": 32, "atomic": 8,
}  # fmt: skip
"""Of a multiprocessor [4], FP32 apart. Loads and stores of shared memory as if no two lanes met in
a bank; ``ldg128`` as gathered, each lane in a line of its own; ``atomic`` is an assumption."""
_PIPES: Final = {
    "integer and logic": ("integer",),
    "FP32": ("fp32",),
    "FP64": ("fp64",),
    "special functions": ("mufu", "convert"),
    "loads, stores, shuffles": (
        "ldg32", "ldg64", "ldg128", "stg", "lds32", "lds64", "lds128", "sts", "shuffle", "atomic",
    ),
}  # fmt: skip
_LATENCY: Final = {
    "fp64": 16.0, "mufu": 20.0, "convert": 14.0, "shuffle": 23.0, "ldg32": 262.0, "ldg64": 262.0,
    "ldg128": 262.0, "lds32": 29.0, "lds64": 29.0, "lds128": 29.0, "atomic": 60.0, "local": 262.0,
    "barrier": 10.0, "constant": 20.0, "call": 10.0, "control": 8.0,
}  # fmt: skip
"""Clocks until the next instruction may begin: shared memory 29, L2 262, arithmetic 4 to 5 [5]; all
of global memory as if in L2, nothing in L1; the others assumed."""
_ARITHMETIC_LATENCY: Final = 4.5

# How often things happen in an evaluation, counted over 4,800 evaluations of settled chains of the
# ligand of 22 atoms (35 atoms: the same within 0.02): four of ten are rejected trials of a line
# search, and every thirty-fourth ends a local optimisation.
_FREQUENCIES: Final = {"_begin_matrix": 0.03, "_update": 0.58, "_accept": 0.61, "_next_start": 0.03}
# A chain's pool has eight places; a minimum finds its own halfway.
_HALF_POOL: Final = 4.0


@dataclass(frozen=True)
class Device:
    """A device as its maker describes it.

    Attributes
    ----------
    name, architecture
        What it is.
    n_multiprocessors, gigahertz
        Clock at boost.
    fp32_lanes
        Multiply-adds a clock and multiprocessor [4].
    memory_gb_s
        Of the device's own memory.
    l2_mib
        Second-level cache.
    host, host_cores
        A usual host, and its cores for each device.
    """

    name: str
    architecture: str
    n_multiprocessors: int
    gigahertz: float
    fp32_lanes: int
    memory_gb_s: float
    l2_mib: int
    host: str
    host_cores: int

    @property
    def fp32_tflops(self) -> float:
        """Peak, as on the datasheet."""
        return 2e-3 * self.n_multiprocessors * self.fp32_lanes * self.gigahertz


DEVICES: Final = (
    Device("A100 SXM 80 GB", "sm_80", 108, 1.41, 64, 2039, 40, "DGX A100, 2 x EPYC 7742", 16),
    Device("H100 SXM", "sm_90", 132, 1.98, 128, 3350, 50, "DGX H100, 2 x Xeon 8480C", 14),
    Device("GH200 96 GB", "sm_90", 132, 1.98, 128, 4000, 50, "Grace", 72),
)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation of energy and gradient takes of a device.

    Attributes
    ----------
    instructions
        Of a warp, by class.
    stages
        Of a warp, by what they are for.
    operations
        Additions and multiplications, all lanes.
    field_bytes
        Read of the receptor's maps, in sectors of 32 bytes: more than is used.
    """

    instructions: Mapping[str, float]
    stages: Mapping[str, float]
    operations: float
    field_bytes: float

    @property
    def total(self) -> float:
        """Instructions of a warp."""
        return sum(self.instructions.values())


@dataclass(frozen=True)
class Prediction:
    """PREDICTION of the search on a device, effort ``fast``, drug-like ligands.

    Attributes
    ----------
    device
        The device.
    roof, cautious
        Evaluations a second: nothing waits; everything waits.
    roof_bound, cautious_bound
        What decides there.
    """

    device: Device
    roof: float
    roof_bound: str
    cautious: float
    cautious_bound: str

    @property
    def ligands(self) -> tuple[float, float]:
        """Ligands a second that the device would search, cautious and roof."""
        return self.cautious / EVALUATIONS_A_LIGAND, self.roof / EVALUATIONS_A_LIGAND


@dataclass(frozen=True)
class HostRates:
    """Molecules a second of a device's host.

    Attributes
    ----------
    prepared
        From SMILES to poses, the search apart.
    finished
        Of a prepared library, the search apart.
    fed, fed_prepared
        That one process brings to a device, from SMILES and of a prepared library.
    """

    prepared: float
    finished: float
    fed: float
    fed_prepared: float


def device_named(name: str) -> Device | None:
    """Return the device of the model that a driver calls by a name; None where it has none.

    >>> device_named("NVIDIA H100 80GB HBM3").name
    'H100 SXM'
    """
    word = next((word for word in ("GH200", "H100", "A100") if word in name), "none")
    return next((device for device in DEVICES if device.name.startswith(word)), None)


def search_rules(shape: Shape) -> Rules:
    """Return what the source of the search does not tell about how often it runs."""
    from osong_kernels.cuda.layout import chain_words

    n_ticks = 5 * (5 + shape.n_segments) + 2 * shape.n_atoms  # as osong.search.effort, `fast`
    largest_segment = 0.4 * shape.n_atoms
    return Rules(
        unit="N_TICKS",
        turns=n_ticks,
        names={"carried_words": lambda n_segments: chain_words(n_segments) - (6 + n_segments)},
        frequencies=_FREQUENCIES,
        trips={
            ("pull_back", "i"): largest_segment,
            ("remember", ""): _HALF_POOL,
            ("_make_room", "k"): _HALF_POOL,
            ("_make_room", "back"): _HALF_POOL,
        },
    )


def evaluation_of(places: Sequence[Place], shape: Shape = DRUG_LIKE) -> Evaluation:
    """Return what an evaluation takes, from the places of ``run_chains``'s instructions."""
    instructions: defaultdict[str, float] = defaultdict(float)
    stages: defaultdict[str, float] = defaultdict(float)
    operations = 0.0
    for place, weight in zip(places, weigh(places, shape, search_rules(shape)), strict=True):
        n = place.count * weight
        instructions[place.kind] += n
        stages[_stage(place)] += n
        operations += n * place.n_operations * _LANES
    # Two loads of 16 bytes an atom, each in a sector of its own.
    field_bytes = 2.0 * _SECTOR * shape.n_atoms
    return Evaluation(dict(instructions), dict(stages), operations, field_bytes)


def _stage(place: Place) -> str:
    """Return the outermost function that is not of the kernel's own module."""
    for file, line in reversed(place.frames):
        if not file.endswith("chains.py"):
            return function_at(file, line)
    return "run_chains"


def predict(device: Device, evaluation: Evaluation, n_warps: int) -> Prediction:
    """Return what a device would do with ``n_warps`` chains on each multiprocessor."""
    clocks = _roof_clocks(device, evaluation)
    roof_bound = max(clocks, key=lambda name: clocks[name])
    wait = sum(
        n * _LATENCY.get(kind, _ARITHMETIC_LATENCY) for kind, n in evaluation.instructions.items()
    )
    cautious = max(wait / n_warps, clocks[roof_bound])
    rate = device.n_multiprocessors * device.gigahertz * 1e9
    memory = device.memory_gb_s * 1e9 / evaluation.field_bytes
    found = {roof_bound: rate / clocks[roof_bound], "memory": memory}
    bound = min(found, key=lambda name: found[name])
    return Prediction(
        device=device,
        roof=found[bound],
        roof_bound=bound,
        cautious=min(rate / cautious, memory),
        cautious_bound="latency" if cautious > clocks[roof_bound] else bound,
    )


def _roof_clocks(device: Device, evaluation: Evaluation) -> dict[str, float]:
    """Return how many clocks of a multiprocessor each of its units is busy with an evaluation."""
    lanes = _LANES_A_CLOCK | {"fp32": device.fp32_lanes}
    counts = evaluation.instructions
    clocks = {
        name: sum(counts.get(kind, 0.0) * _LANES / lanes[kind] for kind in kinds)
        for name, kinds in _PIPES.items()
    }
    return clocks | {"issue": evaluation.total / _SCHEDULERS}


def host_rates(costs: HostCosts, n_cores: int) -> HostRates:
    """Return molecules a second that a device's host keeps up with, on cores like those measured.

    One of the cores is the device's process: Python, one core's worth whatever its threads.
    """
    n_others = n_cores - 1
    return HostRates(
        prepared=1e3 * n_others / (costs.prepare + costs.finish),
        finished=1e3 * n_others / costs.finish,
        fed=1e3 / costs.feed,
        fed_prepared=1e3 / costs.feed_prepared,
    )
