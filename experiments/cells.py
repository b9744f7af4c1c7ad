"""The runner of the experiments: a list of cells, one row each, written as it is finished; what is there is not done again.

    parser = arguments(__doc__)
    rows = run_cells(cells, work, parser.parse_args())

A cell is a dict of plain values that names what is measured, `work(cell)` returns what was measured, and a row holds both,
with the commit, the device and the versions that matter. A --device or --dtype other than auto belongs to the name of a row
too, as asked_device and asked_dtype. With --processes above 1 the cells run in that many processes, which may share one GPU.
"""

import argparse
import gc
import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers

from cola_search import ModelScorer, load_model, load_task
from cola_search.model.config import model_config, with_overrides
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel
from cola_search.run_folder import git_commit

Cell = dict[str, Any]
Work = Callable[[Cell], dict[str, Any]]
RESULTS = Path(__file__).parent / "results"
ASKED = ("asked_device", "asked_dtype")
COMPACT = (",", ":")  # a quarter less: files of results stay below 1 MB


def arguments(doc: str | None, out: str) -> argparse.ArgumentParser:
    """A parser with what every experiment takes; `out` is the default name of the file of rows below results/."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1, help="cells at a time, each with its own model")
    parser.add_argument("--threads", type=int, default=2, help="threads of each process")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument(
        "--memory", default="2GB", help="kept states of each process; a GPU needs about 2 GB more for each"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / out)
    return parser


def run_cells(
    cells: Sequence[Cell], work: Work, args: argparse.Namespace, out_of: Callable[[Cell], Path] | None = None
) -> list[dict[str, Any]]:
    """The rows of all cells, in their order; those not in their file yet are measured and appended as they are finished.

    out_of: the file of a cell's row, where not all go to args.out.

    A cell that fails is printed and left out, so that the same command tries it again.
    """
    if not cells:
        return []
    args.out.parent.mkdir(parents=True, exist_ok=True)
    out_of = out_of or (lambda _: args.out)
    files = list(dict.fromkeys(map(out_of, cells)))
    for file in files:
        if file.exists() and not file.read_bytes().endswith(b"\n"):
            file.write_bytes(file.read_bytes() + b"\n")  # a killed command may have left half a line
    asked = _asked(args)
    known = {_key(row, cells): row for file in files for row in read_rows(file)}
    todo = [cell for cell in cells if _name(cell | asked) not in known]
    print(
        f"{len(cells) - len(todo)} of {len(cells)} cells are in {', '.join(file.name for file in files)} already",
        flush=True,
    )
    for number, (cell, row) in enumerate(_measured(todo, work, args), start=1):
        if row is not None:
            known[_name(cell | asked)] = row | asked
            with out_of(cell).open("a") as out:
                out.write(json.dumps(row | asked, separators=COMPACT) + "\n")
        print(f"[{number}/{len(todo)}] {_name(cell)} {'done' if row else 'FAILED'}", flush=True)
    return [known[name] for cell in cells if (name := _name(cell | asked)) in known]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; none if it does not exist. A last line that was cut off is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def model_of(name: str) -> LoadedModel:
    """The model, loaded once in this process, on the device and in the type that the command asked for."""
    return _load(name, os.environ.get("CELLS_DEVICE", "auto"), os.environ.get("CELLS_DTYPE", "auto"))


def engine_of(model: LoadedModel, samples_in_flight: int) -> EngineSettings:
    """The engine of every experiment: samples share batches, in the memory that the command gives each process."""
    return EngineSettings(
        mode="batched",
        memory=os.environ.get("CELLS_MEMORY", "2GB"),
        samples_in_flight=samples_in_flight,
        mix_samples=True,
        max_batch_tokens=16384 if model.device.type == "cuda" else 4096,
    )


_scorers: dict[tuple, tuple[Any, ModelScorer]] = {}


def scorer_of(model_name: str, task_name: str, items: int, in_flight: int) -> tuple[Any, ModelScorer]:
    """The first items of a task with their scorer; one at a time is kept in a process, for its states take most of the memory."""
    key = (model_name, task_name, items, in_flight)
    if key not in _scorers:
        _scorers.clear()
        gc.collect()
        model = model_of(model_name)
        task = load_task(task_name, limit=items).bind(model)
        _scorers[key] = task, ModelScorer(model, task, engine_of(model, in_flight))
    return _scorers[key]


@cache
def _load(name: str, device: str, dtype: str) -> LoadedModel:
    config = model_config(name)
    if config.mirror:  # the hub has other weights under the name, and may answer on one machine only
        config = with_overrides(config, source="pypi")
    return load_model(config, device=device, dtype=dtype)


def _measured(todo: list[Cell], work: Work, args: argparse.Namespace) -> Iterator[tuple[Cell, dict[str, Any] | None]]:
    os.environ |= {"CELLS_DEVICE": args.device, "CELLS_DTYPE": args.dtype, "CELLS_MEMORY": args.memory}
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    os.environ["CELLS_COMMIT"] = _commit() or ""  # now, and for all processes: what runs is what was there at the start
    torch.set_num_threads(args.threads)
    if args.processes == 1:
        for cell in todo:
            yield cell, _row(cell, work)
        return
    context = multiprocessing.get_context("spawn")  # a process with CUDA cannot be forked
    with ProcessPoolExecutor(args.processes, context, torch.set_num_threads, (args.threads,)) as pool:
        futures = {pool.submit(_row, cell, work): cell for cell in todo}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _row(cell: Cell, work: Work) -> dict[str, Any] | None:
    gc.collect()  # the states of the cell before take gigabytes, and lie in a cycle
    started = time.time()
    try:
        measured = work(cell)
    except Exception:  # one cell must not take the others with it
        print(f"{_name(cell)}\n{traceback.format_exc()}", flush=True)
        return None
    if clash := [key for key in cell if measured.get(key, cell[key]) != cell[key]]:
        raise ValueError(f"work() returned other values for {clash} of its cell: the row would never be found again")
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    seconds = round(time.time() - started, 1)
    return {**cell, **measured, "seconds": seconds, "commit": _commit(), "device": where, **versions}


def _commit() -> str | None:
    """The commit of the code; a copy of it without its history is told by CELLS_COMMIT."""
    return os.environ.get("CELLS_COMMIT") or git_commit()


def _name(cell: Cell) -> str:
    return json.dumps(cell, sort_keys=True)


def _key(row: dict[str, Any], cells: Sequence[Cell]) -> str:
    """The name of the cell that a row was measured for, with what was asked for: cells of one experiment have the same keys."""
    asked = {key: row[key] for key in ASKED if key in row}
    return _name({key: row.get(key) for key in cells[0]} | asked)


def _asked(args: argparse.Namespace) -> dict[str, str]:
    """What the command asked for other than auto, as rows keep it: they hold what that came to under device and dtype."""
    wanted = zip(ASKED, (args.device, args.dtype), strict=True)
    return {key: value for key, value in wanted if value != "auto"}
