"""The report page: one HTML file with its data, its figures and its code inside, that opens with no network."""

import base64
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from cola_search.errors import UserError
from cola_search.records import Record, read_records
from cola_search.report.facts import Facts, facts_of
from cola_search.report.figures import figures
from cola_search.report.summary import Summary, SummaryBuilder, TaskFacts
from cola_search.run_folder import RECORDS, SUMMARY
from cola_search.whole_file import write_whole

MOST_SHOWN = 5_000
"""Samples on a page; of a larger run it shows every second, third, ... one, and says so."""
CHUNK = 32
"""Samples that are packed together; opening one of them inflates its neighbours too."""
LIBRARIES = ("d3-7.9.0.min.js", "plot-0.6.17.umd.min.js")
SCRIPTS = (
    "core.js",
    "strip.js",
    "figure.js",
    "charts.js",
    "curves.js",
    "table.js",
    "tree.js",
    "replay.js",
    "sample.js",
    "findings.js",
    "overview.js",
    "compare.js",
    "main.js",
)
_COLUMNS = ("id", "question", "outcome", "length", "saved", "base_margin", "margin", "verified", "chain")


def write_report(run_dir: Path) -> Path:
    """Writes report.html from the records of a run and returns its path; summary.json, if there, says what the task is.

    Raises UserError if the folder has no records.
    """
    records = read_run(run_dir)
    with (run_dir / RECORDS).open("rb") as lines:
        there = sum(line.endswith(b"\n") for line in lines)
    told, samples = _told(run_dir)
    every, notes = max(1, -(-there // MOST_SHOWN)), _unfinished(samples, there)
    page = render_run(records, told, name=run_dir.resolve().name, every=every, notes=notes)
    return write_whole(run_dir / "report.html", page)


def read_run(run_dir: Path) -> Iterator[Record]:
    """The records of a run folder, as a stream. Raises UserError if there is no record file."""
    path = run_dir / RECORDS
    if not path.is_file():
        raise UserError(f"{run_dir} has no records.jsonl: give the run_dir of a cola-search run.")
    return read_records(path)


def summary_of(run_dir: Path, builder: SummaryBuilder) -> Summary:
    """The summary of a run folder, all of whose records the builder has counted."""
    told, samples = _told(run_dir)
    summary = builder.summary(**told)
    return replace(summary, warnings=[*_unfinished(samples, summary.samples), *summary.warnings])


def _unfinished(told: int | None, there: int) -> list[str]:
    """In words, that a run was stopped, where its summary, which it writes when it ends, tells of other than its records.

    told: how many samples the summary is of; None where there is none. there: how many records there are.
    A run that was stopped again before its first new record holds what the earlier command finished, and nothing is said.
    """
    if told == there:
        return []
    known = (
        "is missing, and what guessing reaches with it"
        if told is None
        else f"is of {told} samples, and there are {there}"
    )
    return [
        f"This run seems to be unfinished: {SUMMARY}, which is written at its end, {known}. Long prompts are searched first, so "
        "the samples that are here need not be like all of them: give its command again to go on with it."
    ]


def _told(run_dir: Path) -> tuple[dict[str, Any], int | None]:
    """What summary.json says that the records do not, as `SummaryBuilder.summary` takes it, and of how many samples it is."""
    path = run_dir / SUMMARY
    if not path.is_file():
        return {}, None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        told = {"evaluations_per_second": summary["evaluations_per_second"], "max_length": summary.get("max_length")}
        return {"facts": TaskFacts(**summary["facts"]), **told}, summary.get("samples")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): remove it, the report does without.") from error


def render_run(
    records: Iterable[Record], told: Mapping[str, Any], *, name: str, every: int, notes: Sequence[str]
) -> str:
    """The page of one run; the records are read once and in order, and every so many-th one is shown.

    told: what the records do not say, as `SummaryBuilder.summary` takes it. notes: sentences above the summary's warnings.
    """
    builder, seen, columns = SummaryBuilder(), [], _Columns()
    for index, record in enumerate(records):
        builder.add(record)
        if index % every == 0:
            seen.append(facts_of(record))
            columns.add(record, seen[-1])
    summary = builder.summary(**told)
    more = [_part_shown(len(seen), summary.samples)] if every > 1 else []
    summary = replace(summary, warnings=[*notes, *summary.warnings, *more])
    data = {
        "kind": "run",
        "name": name,
        "summary": asdict(summary),
        "figures": figures(seen, summary),
        "chunk": CHUNK,
        "run": columns.run,
    }
    return render("run", f"{summary.model} on {summary.task}", data, columns.blocks())


def _part_shown(shown: int, samples: int) -> str:
    return (
        f"This page shows {shown:,} of {samples:,} samples, evenly spread: the rates and means are of all of them, "
        "the table, the maps and the curves of those that are shown."
    )


class _Columns:
    """The table of all samples by column, and everything else packed by chunks, gathered record by record."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self.run: dict[str, Any] = {}
        self._chunk: list[dict[str, Any]] = []
        self._packed: list[str] = []

    def add(self, record: Record, fact: Facts) -> None:
        best, base = record.best, record.base
        self.run = self.run or {"seed": record.seed, "version": record.version, "mix_samples": record.mix_samples}
        values = (
            record.sample,
            record.question,
            fact.outcome,
            fact.length,
            None if fact.length is None else record.num_layers - fact.length,
            _short(base.margin if base else None),
            _short(best.margin if best else None),
            best.verified if best else None,
            best.chain if best else None,
        )
        for name, value in zip(_COLUMNS, values, strict=True):
            self.columns[name].append(value)
        self._chunk.append(_detail(record))
        if len(self._chunk) == CHUNK:
            self._close()

    def _close(self) -> None:
        self._packed.append(pack(self._chunk))
        self._chunk = []

    def blocks(self) -> dict[str, str]:
        """The packed blocks by element id."""
        if self._chunk:
            self._close()
        return {"samples": pack(self.columns), **{f"chunk-{index}": block for index, block in enumerate(self._packed)}}


def _detail(record: Record) -> dict[str, Any]:
    """What opening a sample shows beyond its row in the table, with numbers cut to what a page can show."""
    parts = replace(record, chains=[], tree=[])
    kept = ("choices", "gold", "base", "best", "controls", "probes", "counts", "verification", "seconds", "error")
    return {
        **{name: value for name, value in parts.to_dict().items() if name in kept},
        "chains": [[row.chain, row.correct, _short(row.margin), round(row.layer_executions)] for row in record.chains],
        "tree": [[row.parent, row.chain, row.visits, _short(row.value)] for row in record.tree],
    }


def _short(value: float | None) -> float | None:
    """Four digits, which is more than a page can show."""
    return None if value is None else float(f"{value:.4g}")


def pack(value: Any) -> str:
    """The value as base64 of gzipped JSON: small, and without a character that HTML could misread."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(errors="backslashreplace"), compresslevel=9, mtime=0)).decode()


def render(kind: str, title: str, data: Mapping[str, Any], blocks: Mapping[str, str]) -> str:
    """The template filled in. User text is escaped for where it stands: the title as HTML, the data as script text."""
    parts = {
        "title": escape(f"cola_search: {title}"),
        "style": _asset("style.css"),
        "data": script_json({**data, "kind": kind, "title": title}),
        "packed": "\n".join(
            f'<script type="text/plain" id="{name}">{block}</script>' for name, block in blocks.items()
        ),
        "scripts": "\n".join(f"<script>{_asset(name)}</script>" for name in (*LIBRARIES, *SCRIPTS)),
    }
    template = (files("cola_search.report") / "template.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no text in it can close the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (files("cola_search.report") / "assets" / name).read_text(encoding="utf-8")
