"""Every kernel: name, arguments, dimensions, dtype, unit, direction.

Every implementation (``cpu``, ``reference``) has these arguments in this order. The tests hold the
implementations to this table, and the table in ``docs/kernels.md`` is written from it.

Dimensions are names, numbers, a name plus a number, or a number times a name (``"32 n_bytes"``);
the same name means the same length everywhere in one call (`osong_kernels.call_check`). ``L`` is
the number of lanes, ``n_genes`` = 7 + T and ``n_dof`` = 6 + T for a ligand of T torsions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["BUNDLES", "KERNELS", "Array", "Bundle", "Kernel", "Scalar"]

Direction = Literal["in", "out", "inout"]


@dataclass(frozen=True)
class Array:
    """An array argument. ``dtypes`` lists what may come; ``unit`` is empty for pure numbers."""

    name: str
    dims: tuple[str, ...]
    dtypes: tuple[str, ...]
    unit: str = ""
    direction: Direction = "in"


@dataclass(frozen=True)
class Scalar:
    """A number argument."""

    name: str
    unit: str = ""
    direction: Direction = "in"


@dataclass(frozen=True)
class Bundle:
    """A named tuple of ``arguments`` or ``physics``; its fields stand in ``BUNDLES``.

    ``type`` may name several that the kernel takes, as ``"A | B"``.
    """

    name: str
    type: str
    direction: Direction = "in"

    @property
    def types(self) -> list[str]:
        """Names of the bundles that may come."""
        return self.type.split(" | ")


@dataclass(frozen=True)
class Kernel:
    """One kernel.

    Attributes
    ----------
    name, module
        The function, and the module of each backend that has it.
    summary
        What it does.
    arguments
        In order.
    definition
        ``"loops"``: the reference computes the same in plain loops. ``"properties"``: many results
        are right (a search), and the tests check what must hold for each.
    """

    name: str
    module: str
    summary: str
    arguments: tuple[Array | Scalar | Bundle, ...]
    definition: Literal["loops", "properties"] = "loops"


F4, F8, I4, I8, U8 = ("float32",), ("float64",), ("int32",), ("int64",), ("uint64",)
BYTE: Final = ("uint8",)
_REAL: Final = ("float32", "float64")  # float32 in kernels, float64 in the reference

BUNDLES: Final[dict[str, tuple[Array | Scalar, ...]]] = {
    "LigandTopology": (
        Array("segment_start", ("n_segments+1",), I4),
        Array("parent", ("n_segments",), I4),
        Array("local", ("n_conformers", "n_scored", "3"), F4, "angstrom"),
        Array("axis", ("n_conformers", "n_segments", "3"), F4),
        Array("offset", ("n_conformers", "n_segments", "3"), F4, "angstrom"),
        Array("map_index", ("n_scored",), I4),
        Array("metric", ("n_dof",), F4),
    ),
    "PairList": (
        Array("start", ("n_scored+1",), I4),
        Array("second", ("n_pairs",), I4),
        Array("r0", ("n_pairs",), F4, "angstrom"),
        Array("is_hydrophobic", ("n_pairs",), F4),
        Array("is_hydrogen_bond", ("n_pairs",), F4),
    ),
    "PairTable": (
        Array("coefficients", ("4", "4", "32"), F4, "kcal/mol, angstrom"),
        Scalar("first", "angstrom"),
        Scalar("step", "angstrom"),
        Scalar("cutoff", "angstrom"),
    ),
    "Field": (
        Array("maps", ("n_values",), F4, "kcal/mol"),
        Array("shape", ("3",), I4),
        Array("origin", ("3",), F4, "angstrom"),
        Scalar("spacing", "angstrom"),
        Scalar("wall", "kcal/mol/angstrom"),
    ),
    "ReceptorAtoms": (
        Array("xyz", ("3", "n_receptor"), F4, "angstrom"),
        Array("atom_type", ("n_receptor",), I4),
        Array("radius", ("n_types",), F4, "angstrom"),
        Array("is_hydrophobic", ("n_types",), F4),
        Array("is_donor", ("n_types",), F4),
        Array("is_acceptor", ("n_types",), F4),
    ),
    "ChainState": (
        Array("local", ("n_scored", "3", "L"), F4, "angstrom", "inout"),
        Array("axis", ("n_segments", "3", "L"), F4, "", "inout"),
        Array("offset", ("n_segments", "3", "L"), F4, "angstrom", "inout"),
        Array("trial", ("n_genes", "L"), F4, "angstrom, radian", "inout"),
        Array("base", ("n_genes", "L"), F4, "angstrom, radian", "inout"),
        Array("current", ("n_genes", "L"), F4, "angstrom, radian", "inout"),
        Array("direction", ("n_dof", "L"), F4, "angstrom, radian", "inout"),
        Array("base_gradient", ("n_dof", "L"), F4, "kcal/mol/(angstrom, radian)", "inout"),
        Array("hessian", ("n_dof (n_dof + 1) / 2", "L"), F4, "", "inout"),
        Array("scalars", ("7", "L"), F4, "", "inout"),
        Array("conformer", ("L",), I4, "", "inout"),
        Array("current_conformer", ("L",), I4, "", "inout"),
        Array("step", ("L",), I4, "", "inout"),
        Array("pool_energy", ("L", "K"), F4, "kcal/mol", "inout"),
        Array("pool_genotype", ("L", "K", "n_genes"), F4, "angstrom, radian", "inout"),
        Array("pool_conformer", ("L", "K"), I4, "", "inout"),
        Array("pool_coords", ("L", "K", "n_scored", "3"), F4, "angstrom", "inout"),
    ),
    "SearchRules": (
        Scalar("temperature", "kcal/mol"),
        Scalar("limit", "kcal/mol"),
        Scalar("max_iterations"),
        Scalar("tolerance", "kcal/mol"),
        Scalar("prune_iteration"),
        Scalar("prune_gap", "kcal/mol"),
        Scalar("move", "angstrom"),
        Scalar("gyration", "angstrom"),
        Scalar("pool_rmsd", "angstrom"),
    ),
    "PairWeights": (
        Scalar("gauss1_weight", "kcal/mol"),
        Scalar("gauss1_offset", "angstrom"),
        Scalar("gauss1_width", "angstrom"),
        Scalar("gauss2_weight", "kcal/mol"),
        Scalar("gauss2_offset", "angstrom"),
        Scalar("gauss2_width", "angstrom"),
        Scalar("repulsion_weight", "kcal/mol/angstrom^2"),
        Scalar("hydrophobic_weight", "kcal/mol"),
        Scalar("hydrophobic_good", "angstrom"),
        Scalar("hydrophobic_bad", "angstrom"),
        Scalar("hydrogen_bond_weight", "kcal/mol"),
        Scalar("hydrogen_bond_good", "angstrom"),
        Scalar("hydrogen_bond_bad", "angstrom"),
        Scalar("cutoff", "angstrom"),
    ),
}

_TOPOLOGY: Final = Bundle("topology", "LigandTopology")
_PAIRS: Final = Bundle("pairs", "PairList")
_FIELD: Final = Bundle("field", "Field")
_WEIGHTS: Final = Bundle("weights", "PairWeights")
_WEIGHTS_OR_TABLE: Final = Bundle("weights", "PairWeights | PairTable")
_RULES: Final = Bundle("rules", "SearchRules")
_KEY: Final = Array("key", ("2",), U8)
_STATE: Final = Bundle("state", "ChainState", "inout")


def _type_tables(rows: str, dtypes: tuple[str, ...]) -> tuple[Array, Array, Array]:
    return (
        Array("r0", (rows, "n_types"), dtypes, "angstrom"),
        Array("is_hydrophobic", (rows, "n_types"), dtypes),
        Array("is_hydrogen_bond", (rows, "n_types"), dtypes),
    )


KERNELS: Final[tuple[Kernel, ...]] = (
    Kernel(
        "build_maps",
        "maps",
        "Fills the receptor's field on a lattice for some kinds of ligand atom.",
        (
            Array("coords", ("n_receptor", "3"), F4, "angstrom"),
            Array("atom_type", ("n_receptor",), I4),
            *_type_tables("n_maps", F4),
            _WEIGHTS,
            Array("origin", ("3",), F4, "angstrom"),
            Scalar("spacing", "angstrom"),
            Scalar("first_x"),
            Array("maps", ("n_maps", "n_x", "ny", "nz"), _REAL, "kcal/mol", "out"),
        ),
    ),
    Kernel(
        "pose_energy",
        "pose_energy",
        "Energy, gradient and coordinates of given poses in the field.",
        (
            _TOPOLOGY,
            _PAIRS,
            _FIELD,
            _WEIGHTS_OR_TABLE,
            Scalar("limit", "kcal/mol"),
            Array("genotypes", ("n_poses", "n_genes"), _REAL, "angstrom, radian"),
            Array("conformers", ("n_poses",), I4),
            Array("energy", ("n_poses", "2"), _REAL, "kcal/mol", "out"),
            Array("gradient", ("n_poses", "n_dof"), _REAL, "kcal/mol/(angstrom, radian)", "out"),
            Array("coords", ("n_poses", "n_scored", "3"), _REAL, "angstrom", "out"),
        ),
    ),
    Kernel(
        "start_chains",
        "search",
        "Puts sixteen chains at random places in the box.",
        (
            _TOPOLOGY,
            _KEY,
            Scalar("first_chain"),
            Array("low", ("3",), F8, "angstrom"),
            Array("high", ("3",), F8, "angstrom"),
            _STATE,
        ),
    ),
    Kernel(
        "run_chains",
        "search",
        "Advances sixteen chains of mutation, local optimisation and Metropolis rule.",
        (
            _TOPOLOGY,
            _PAIRS,
            _FIELD,
            _WEIGHTS_OR_TABLE,
            _RULES,
            _KEY,
            Scalar("first_chain"),
            Scalar("n_ticks"),
            _STATE,
        ),
        "properties",
    ),
    Kernel(
        "refine_poses",
        "refine",
        "Moves poses to the nearest minima of the exact (pairwise) energy.",
        (
            _TOPOLOGY,
            _PAIRS,
            Array("atom_type", ("n_scored",), I4),
            Bundle("receptor", "ReceptorAtoms"),
            _WEIGHTS,
            _RULES,
            Array("low", ("3",), F4, "angstrom"),
            Array("high", ("3",), F4, "angstrom"),
            Scalar("wall", "kcal/mol/angstrom"),
            Scalar("max_ticks"),
            Array("conformers", ("n_poses",), I4),
            Array("genotypes", ("n_poses", "n_genes"), F4, "angstrom, radian", "inout"),
            _STATE,
        ),
        "properties",
    ),
    Kernel(
        "receptor_terms",
        "terms",
        "Exact terms of each ligand atom with the receptor.",
        (
            Array("coords", ("n_scored", "3"), F8, "angstrom"),
            Array("atom_type", ("n_scored",), I4),
            Array("receptor_coords", ("n_receptor", "3"), F8, "angstrom"),
            Array("receptor_type", ("n_receptor",), I4),
            *_type_tables("n_types", F8),
            _WEIGHTS,
            Array("terms", ("n_scored", "5"), F8, "kcal/mol", "out"),
        ),
    ),
    Kernel(
        "ligand_terms",
        "terms",
        "Exact terms of each of the ligand's own pairs.",
        (
            Array("coords", ("n_scored", "3"), F8, "angstrom"),
            Array("atom_type", ("n_scored",), I4),
            Array("pairs", ("n_pairs", "2"), I4),
            *_type_tables("n_types", F8),
            _WEIGHTS,
            Array("terms", ("n_pairs", "5"), F8, "kcal/mol", "out"),
        ),
    ),
    Kernel(
        "pick_distinct",
        "distinct",
        "Picks poses, best first, that differ from all picked before; returns their number.",
        (
            Array("coords", ("n_poses", "n_scored", "3"), F4, "angstrom"),
            Array("order", ("n_ordered",), I8),
            Scalar("min_rmsd", "angstrom"),
            Array("chosen", ("n_wanted",), I8, direction="out"),
        ),
    ),
    Kernel(
        "voxelise",
        "voxels",
        "Fills a lattice around each pose with the densities of atoms, a channel a kind of atom.",
        (
            Array("receptor_coords", ("n_receptor", "3"), F4, "angstrom"),
            Array("receptor_channel", ("n_receptor",), I4),
            Array("receptor_radius", ("n_receptor",), F4, "angstrom"),
            Array("coords", ("n_atoms", "3"), F4, "angstrom"),
            Array("channel", ("n_atoms",), I4),
            Array("radius", ("n_atoms",), F4, "angstrom"),
            Array("pose_start", ("n_poses+1",), I8),
            Array("centers", ("n_poses", "3"), F4, "angstrom"),
            Array("rotations", ("n_poses", "4"), F4),
            Scalar("spacing", "angstrom"),
            Array("grids", ("n_poses", "n_channels", "n", "n", "n"), _REAL, "", "out"),
        ),
    ),
    Kernel(
        "run_bit_networks",
        "bit_networks",
        "Gives what networks of one hidden layer say of packed bits, four bits a row of a table.",
        (
            Array("packed", ("n_molecules", "n_bytes"), BYTE),
            Array("table", ("n_networks", "32 n_bytes", "2", "L"), F4),
            Array("bias", ("n_networks", "2", "L"), F4),
            Array("weight", ("n_networks", "2", "L"), F4),
            Array("out", ("n_molecules", "n_networks"), _REAL, "", "out"),
        ),
    ),
)
