"""Which networks rescore, as options of a command, and what is said of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from osong.cli.terminal import console, plural

if TYPE_CHECKING:
    from osong.rescoring.rescorer import Rescorer

__all__ = ["NetworkChoice", "print_networks"]

_NETWORKS = "Networks"


@dataclass(frozen=True)
class NetworkChoice:
    """Which networks, and where they run, as it was asked for."""

    models: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Networks or ensembles as GNINA names them; default: GNINA 1.0's five.",
            rich_help_panel=_NETWORKS,
        ),
    ] = "default"
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Weights of your own: state dicts, or TorchScript such as GNINA 1.3's.",
            rich_help_panel=_NETWORKS,
        ),
    ] = None
    rotations: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Average over 1, 4, 12 or 24 fixed rotations.",
            rich_help_panel=_NETWORKS,
        ),
    ] = 1
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cpu|cuda",
            help="Where networks run; auto: an NVIDIA device where torch finds one.",
            rich_help_panel=_NETWORKS,
        ),
    ] = "auto"
    dtype: Annotated[
        str,
        typer.Option(
            metavar="float32|bfloat16",
            help="bfloat16: nearly twice as fast where the hardware has it, ranks may change.",
            rich_help_panel=_NETWORKS,
        ),
    ] = "float32"
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Cores; all that there are by default. No score depends on it.",
            rich_help_panel=_NETWORKS,
        ),
    ] = None

    def load(self) -> "Rescorer":
        """Return the networks."""
        from osong.machine import usable_cores
        from osong.rescoring.rescorer import Rescorer

        models = self.models.replace(",", " ").split()
        return Rescorer(
            models[0] if len(models) == 1 else models,
            self.rotations,
            self.device,
            self.dtype,
            threads=self.threads or usable_cores(),
            weights=self.weights,
        )


def print_networks(rescorer: "Rescorer") -> None:
    """Print which networks spoke, and how they ran."""
    says = rescorer.describe()
    names = ", ".join(network["name"] for network in says["networks"])
    how = f"{says['dtype']}, {plural(says['rotations'], 'rotation')}, {says['device']}"
    console().print(f"networks: {names} ({how})", soft_wrap=True)
    if says["dtype"] != says["dtype_asked"]:
        stayed = [one["name"] for one in says["networks"] if one["dtype"] != says["dtype_asked"]]
        console().print(
            f"note: {', '.join(stayed)} ran in float32, not {says['dtype_asked']}: TorchScript "
            "runs as it is",
            soft_wrap=True,
        )
