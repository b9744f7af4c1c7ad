"""The command `cola-report`: rebuilds the report of a run, compares runs, and exports records."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cola_search.errors import UserError
from cola_search.records import Record
from cola_search.shell import OK, USER_ERROR, complain, run_command, tell

_EPILOG = """examples:
  cola-report runs/arc                     rebuild runs/arc/report.html from its records
  cola-report runs/arc runs/arc_random     rebuild both, and write a page that compares the second with the first
  cola-report sweeps/seeds                 the same for every run in a folder
  cola-report runs/arc --export parquet    write runs/arc/records.parquet
"""
EXPORTS = {"parquet": "records.parquet", "polar": "merged_mcts_samples.json", "drllm": "drllm_paths.json"}
"""File that each export writes into the run's folder."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code: 0, 130 (stopped), or 2 if the user must change something, if only in one of several runs."""
    options = _parser().parse_args(arguments)
    return run_command("cola-report", lambda: _work(options))


def _work(options: argparse.Namespace) -> int:
    try:
        runs = expand(options.runs)
        left_out = _export(runs, options.export, options.out) if options.export else _report(runs, options.out)
    except OSError as error:
        raise UserError(
            f"{error.filename} cannot be read or written ({error.strerror or error}): free some space, or see to its rights."
        ) from error
    return USER_ERROR if left_out else OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cola-report",
        description="Rebuilds report.html from the records of a run; several runs are compared on a page of their own.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="run_dir of a run, or a folder with runs in it"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the comparison, or the export of one run, goes")
    parser.add_argument("--export", choices=sorted(EXPORTS), help="write the records in another format instead")
    return parser


def expand(folders: Iterable[Path]) -> list[Path]:
    """The run folders among the given ones, and below them those with records: a job that failed at once left none.

    Raises UserError for a folder without any.
    """
    runs: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give the run_dir of a cola-search run.")
        if (folder / "records.jsonl").is_file():
            runs.append(folder)
            continue
        below = sorted(path.parent for path in folder.rglob("records.jsonl") if path.stat().st_size)
        if not below:
            raise UserError(f"{folder} holds no records.jsonl with a record: give the run_dir of a cola-search run.")
        runs += below
    return runs


def _report(runs: Sequence[Path], out: Path | None) -> dict[Path, str]:
    from cola_search.report.compare import run_names, write_comparison
    from cola_search.report.page import write_report

    if out is not None and len(runs) == 1:
        raise UserError("--out names the comparison of several runs: give several, or leave it out.")
    run_names(runs)  # a run given twice is told before any is read

    def report(run: Path) -> None:
        with _naming(run / "report.html"):
            tell(str(write_report(run)))

    left_out = _each(runs, report)
    if len(runs) - len(left_out) > 1:
        path = out or Path(os.path.commonpath([run.resolve() for run in runs])) / "comparison.html"
        with _naming(path):
            tell(str(write_comparison(runs, path, left_out)))
    elif left_out:
        complain("cola-report", "fewer than two of the runs can be read: there is nothing to compare.")
    return left_out


def _export(runs: Sequence[Path], kind: str, out: Path | None) -> dict[Path, str]:
    from cola_search.report.page import read_run

    if out is not None and len(runs) > 1:
        raise UserError("--out names one file: export one run at a time, or leave it out.")

    def export(run: Path) -> None:
        path = out or run / EXPORTS[kind]
        with _naming(path):
            counts = _writer(kind)(read_run(run), path)
        tell(f"{path}: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))

    return _each(runs, export)


def _each(runs: Sequence[Path], work: Callable[[Path], None]) -> dict[Path, str]:
    """Does the work for every run; of several, those that cannot be read are told and left out: by run the reason.

    Raises UserError where the only run cannot be read.
    """
    left_out: dict[Path, str] = {}
    for run in runs:
        try:
            work(run)
        except UserError as error:
            if len(runs) == 1:
                raise
            left_out[run] = str(error)
            complain("cola-report", f"{run} is left out: {error}")
    return left_out


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Gives an error of the operating system that names no file, such as that of a full disk, the one that is written."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _writer(kind: str) -> Callable[[Iterable[Record], Path], dict[str, int]]:
    match kind:
        case "parquet":
            from cola_search.report.parquet import write_parquet

            return write_parquet
        case "polar":
            from cola_search.report.formats import write_polar

            return write_polar
        case _:
            from cola_search.report.formats import write_drllm

            return write_drllm


if __name__ == "__main__":
    sys.exit(main())
