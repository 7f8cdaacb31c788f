"""Write the table of kernels in ``kernels.md`` from ``osong_kernels.contract``.

``python docs/kernel_table.py`` writes it; with ``--check`` it says whether it is current (exit code
1 where not).
"""

from __future__ import annotations

import sys
from pathlib import Path

from osong_kernels.contract import BUNDLES, KERNELS, Array, Bundle, Kernel, Scalar

PAGE = Path(__file__).parent / "kernels.md"
BEGIN = "<!-- kernels: written by docs/kernel_table.py -->"
END = "<!-- kernels: end -->"
HEADER = "| argument | dims | dtype | unit | |\n| --- | --- | --- | --- | --- |"


def row(argument: Array | Scalar | Bundle) -> str:
    """Return the table row of one argument."""
    if isinstance(argument, Bundle):
        links = " or ".join(f"[`{name}`](#{name.lower()})" for name in argument.types)
        cells = [f"`{argument.name}`", "", links, ""]
    elif isinstance(argument, Scalar):
        cells = [f"`{argument.name}`", "", "number", argument.unit]
    else:
        dims = ", ".join(argument.dims)
        cells = [f"`{argument.name}`", f"({dims})", " or ".join(argument.dtypes), argument.unit]
    return "| " + " | ".join([*cells, argument.direction]) + " |"


def kernel_section(kernel: Kernel) -> str:
    """Return heading, summary and table of one kernel."""
    how = {
        "loops": "The reference computes the same in plain loops.",
        "properties": "Defined by what must hold for its result; there is no reference.",
    }[kernel.definition]
    rows = "\n".join(row(argument) for argument in kernel.arguments)
    title = f"#### `{kernel.name}` (`{kernel.module}`)"
    return f"{title}\n\n{kernel.summary} {how}\n\n{HEADER}\n{rows}"


def table() -> str:
    """Return the whole text between the markers."""
    bundles = (
        f"#### {name}\n\n{HEADER}\n" + "\n".join(row(field) for field in fields)
        for name, fields in BUNDLES.items()
    )
    return "\n\n".join(
        [
            BEGIN,
            "### Kernels",
            *map(kernel_section, KERNELS),
            "### Bundles",
            *bundles,
            END,
        ]
    )


def main() -> int:
    """Write or check the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    current = before + table() + after
    if "--check" in sys.argv[1:]:
        if current != page:
            sys.stderr.write(f"{PAGE} is out of date: run python {Path(__file__).name}\n")
        return int(current != page)
    PAGE.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
