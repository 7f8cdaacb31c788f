"""`osong bench`: what this machine does with Osong, as numbers, a file and a page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osong.cli.failures import Stopped
from osong.cli.terminal import console, make_table, plural
from osong.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["bench_app"]

bench_app = typer.Typer(rich_markup_mode="markdown")

_DEFAULT_OUT = Path("results/benchmarks")
_GPU_PARTS = ("hardware", "gpu")
_STYLES = {"better": "green", "worse": "bold red", "only in one": "dim", "machine": "dim"}
_WORDS = {"same": "", "worse": "worse than tolerance", "machine": ""}

ResultsArgument = Annotated[
    Path, typer.Argument(metavar="FILE.json", help="Results, as `osong bench` wrote them.")
]


@bench_app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two minutes on two cores; the default.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Hours; the same command goes on where it stopped.")
    ] = False,
    smallest: Annotated[
        bool, typer.Option("--smallest", help="Seconds: to see that it runs.", hidden=True)
    ] = False,
    parts: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Of hardware, kernels, docking, screen, scaling, memory (all by default), gpu.",
        ),
    ] = "",
    gpu: Annotated[
        bool,
        typer.Option(
            "--gpu",
            help="Only the GPU: its tests, energies and success against the CPU, rates.",
        ),
    ] = False,
    peers: Annotated[
        str,
        typer.Option(metavar="NAME,...", help="Measured side by side: vina, rustina."),
    ] = "",
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of complexes and libraries; $OSONG_BENCH_DATA by default.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where results and page go.")
    ] = _DEFAULT_OUT,
    cores: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Most cores to use; all that there are by default."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of every search.")] = 1,
) -> None:
    """Measure Osong on this machine: a file of results, and a page that shows them.

    `osong bench --quick`

    `osong bench --full --peers vina,rustina --data FOLDER`

    `osong bench --gpu --data FOLDER`

    `osong bench compare old.json new.json --fail-on-regression`
    """
    if context.invoked_subcommand is not None:
        return
    from osong.benchmarking import suite
    from osong.cli.bench_progress import BenchProgress

    size = _size(quick=quick, full=full, smallest=smallest)
    chosen = _words(parts)
    if gpu:
        console().print(suite().check_device(), soft_wrap=True)
        chosen = list(dict.fromkeys([*chosen, *_GPU_PARTS]))
    with _stopped_hint(size), BenchProgress() as progress:
        finished = suite().measure(
            progress,
            size=size,
            parts=chosen,
            peers=_words(peers),
            data=data,
            out=out,
            cores=cores,
            seed=seed,
        )
    _print_finished(finished)
    _check_device_tests(finished)


@bench_app.command("page")
def page(
    results: ResultsArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.html", help="Beside the results by default."),
    ] = None,
) -> None:
    """Draw the page of a file of results anew.

    `osong bench page results.json --output page.html`
    """
    from osong.benchmarking import suite

    typer.echo(suite().write_page(results, output))


@bench_app.command("compare")
def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="Before, or one machine.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="After, or the other machine.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="X",
            help="Relative change that is noise (0.1: 10 %) instead of each number's own.",
        ),
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what became better or worse.")
    ] = False,
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit with 1 if anything became worse.")
    ] = False,
) -> None:
    """Set two runs side by side: two machines, or two versions on one.

    A gain is how many times better B is; per peak, as if both cores had the same peak speed.

    `osong bench compare laptop.json server.json`
    """
    from osong.benchmarking import suite

    comparison = suite().compare_files(a, b, tolerance)
    _print_comparison(comparison, str(a), str(b), only_changed=changed)
    if fail_on_regression and comparison.regressions:
        raise typer.Exit(1)


@bench_app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the files of results.

    `osong bench schema > schema.json`
    """
    import json

    from osong.benchmarking import suite

    typer.echo(json.dumps(suite().json_schema(), indent=2))


@bench_app.command("active")
def active(
    scores: Annotated[
        Path,
        typer.Option("--scores", metavar="FILE.csv", help="SMILES and scores, compressed or not."),
    ],
    budget: Annotated[
        str, typer.Option(metavar="SHARE", help="To dock in all: 6% or 0.06.")
    ] = "6%",
    batch: Annotated[str, typer.Option(metavar="SHARE", help="To dock a round.")] = "1%",
    top: Annotated[
        str, typer.Option(metavar="SHARE|N", help="What counts as the best: 1%, or 100.")
    ] = "1%",
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Runs of each kind.")] = 5,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the first run.")] = 0,
    acquisition: Annotated[
        str, typer.Option(metavar="NAME,...", help="Of greedy, ucb, thompson, random.")
    ] = "greedy,ucb",
    beta: Annotated[
        float | None, typer.Option(min=0.0, metavar="X", help="Of ucb: deviations to add.")
    ] = None,
    initial: Annotated[
        str, typer.Option(metavar="NAME", help="First batch: random, diverse, large.")
    ] = "random",
    surrogate: Annotated[
        str, typer.Option(metavar="NAME", help="mlp on fingerprints, or graph.")
    ] = "mlp",
    smiles_column: Annotated[str, typer.Option(metavar="NAME")] = "smiles",
    score_column: Annotated[str, typer.Option(metavar="NAME")] = "score",
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where table and pictures go.")
    ] = Path("results/active"),
) -> None:
    """Find the best of known scores by docking few of them: recall, beside what is published.

    `osong bench active --scores scores.csv.gz --seeds 5`
    """
    from osong.active import SurrogateOptions
    from osong.benchmarking import suite

    with _stopped_hint("full"):
        text, files = suite().active(
            scores,
            out=out,
            say=typer.echo,
            budget=_share(budget, "--budget"),
            batch=_share(batch, "--batch"),
            top=_share(top, "--top", counts=True),
            n_seeds=seeds,
            first_seed=seed,
            acquisitions=_words(acquisition),
            beta=beta,
            initial=initial,
            surrogate=SurrogateOptions(surrogate),  # type: ignore[arg-type]
            smiles_column=smiles_column,
            score_column=score_column,
        )
    typer.echo(f"\n{text}\n")
    for path in files:
        typer.echo(f"written: {path}")


def _share(text: str, option: str, *, counts: bool = False) -> float:
    """Return a share written as 6% or 0.06; where counts may come, numbers from 1 on as they are.

    >>> _share("6%", "--budget"), _share("0.06", "--budget"), _share("100", "--top", counts=True)
    (0.06, 0.06, 100.0)
    """
    try:
        value = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        value = -1.0
    if not 0.0 < value <= (1e9 if counts and not text.endswith("%") else 1.0):
        raise InputError(f"{option} {text}: give a share, as 6% or 0.06")
    return value


def _size(*, quick: bool, full: bool, smallest: bool) -> str:
    if quick + full + smallest > 1:
        raise InputError("give --quick or --full, not both")
    return "full" if full else "smallest" if smallest else "quick"


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


@contextmanager
def _stopped_hint(size: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if size == "full":
            raise Stopped("finished parts are kept; the same command goes on from there") from None
        raise


def _print_finished(finished: Any) -> None:
    """Print the numbers of merit, what was not measured, and where the files are."""
    out = console()
    for name, record in finished.run.parts.items():
        if record.merits:
            out.print(_merit_table(name, record.merits))
    gaps = list(finished.run.gaps)
    for record in finished.run.parts.values():
        gaps += [record.gap] if record.gap else record.result.gaps
    for gap in gaps:
        out.print(f"not measured: {gap.what}: {gap.reason}", soft_wrap=True)
    out.print(f"results: {finished.results}", soft_wrap=True)
    page = finished.page or f"none: {finished.no_page}; then: osong bench page {finished.results}"
    out.print(f"page:    {page}", soft_wrap=True)


def _check_device_tests(finished: Any) -> None:
    """Exit with 1 where tests on a device have failed; all files are written by then."""
    merits = finished.run.parts["gpu"].merits if "gpu" in finished.run.parts else {}
    failed = merits.get("gpu.failed_tests")
    if failed is not None and failed.value:
        number = plural(int(failed.value), "test")
        typer.echo(f"osong: {number} on the device failed: the page names them", err=True)
        raise typer.Exit(1)


def _merit_table(part: str, merits: dict[str, Any]) -> "Table":
    rows = [
        (name.removeprefix(f"{part}."), _readable(merit.value), merit.unit)
        for name, merit in merits.items()
    ]
    return make_table([part, ">value", "unit"], rows)


def _print_comparison(comparison: Any, a: str, b: str, *, only_changed: bool) -> None:
    out = console()
    out.print(f"A: {a}\nB: {b}", soft_wrap=True)
    if comparison.differences:
        out.print(make_table(["", "~A", "~B"], comparison.differences))
    else:
        out.print("Same machine, versions and settings.")
    rows = comparison.rows
    if only_changed:
        rows = [*comparison.improvements, *comparison.regressions]
    if rows:
        out.print(_comparison_table(rows))
    n_worse, n_better = len(comparison.regressions), len(comparison.improvements)
    n_same = sum(row.verdict == "same" for row in comparison.rows)
    out.print(f"{n_better} better, {n_worse} worse, {n_same} the same within tolerance.")


def _comparison_table(rows: Sequence[Any]) -> "Table":
    cells = [
        (
            row.name,
            _readable(row.a),
            _readable(row.b),
            row.unit,
            _times(row.gain),
            _times(row.gain_per_peak),
            _WORDS.get(row.verdict, row.verdict),
        )
        for row in rows
    ]
    table = make_table(["number", ">A", ">B", "unit", ">gain", ">per peak", ""], cells)
    for row, shown in zip(rows, table.rows, strict=True):
        shown.style = _STYLES.get(row.verdict)
    return table


def _times(gain: float | None) -> str:
    return "" if gain is None else f"{gain:.2f}"


def _readable(value: float | None) -> str:
    """Return a number with four digits that count; nothing for none.

    >>> _readable(123456.7), _readable(0.012345), _readable(None)
    ('123,457', '0.01235', '')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
