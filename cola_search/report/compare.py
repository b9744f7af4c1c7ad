"""Several runs beside each other: what differs in their settings, and how far their results differ, with intervals."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cola_search.errors import UserError
from cola_search.report.page import read_run, render, summary_of
from cola_search.report.stats import Mean, Rate, bonett_price, mean_of, newcombe
from cola_search.report.summary import Summary, SummaryBuilder
from cola_search.run_folder import FREE_KEYS
from cola_search.sweep import readable_settings, settings_of, shown_names
from cola_search.whole_file import write_whole


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run made of one sample."""

    base: bool
    found: bool
    saved: int
    """Layers saved by the best chain; 0 if there is none."""


@dataclass(frozen=True)
class Run:
    """One run as the comparison sees it."""

    name: str
    folder: Path
    summary: Summary
    verdicts: dict[tuple[str, str], Verdict]
    """By sample id and question, for items of two splits may have the same id; without those that failed."""


def write_comparison(run_dirs: Sequence[Path], path: Path, left_out: Mapping[Path, str] | None = None) -> Path:
    """Writes the page that compares the runs with the first one, and returns its path; UserError for a bad folder.

    left_out: by folder why it cannot be read. The page names these, and the first of the others is compared with.
    """
    left_out = left_out or {}
    settings = {folder: readable_settings(folder) if folder in left_out else settings_of(folder) for folder in run_dirs}
    names = dict(zip(run_dirs, shown_names(run_names(run_dirs), list(settings.values())), strict=True))
    runs = [load_run(folder, name) for folder, name in names.items() if folder not in left_out]
    differing = what_differs([settings[run.folder] for run in runs])
    rows = [_row(run, runs[0], words, path.parent) for run, words in zip(runs, differing, strict=True)]
    missing = [f"{names[folder]}: {reason}" for folder, reason in left_out.items()]
    data = {"runs": rows, "reference": runs[0].name, "left_out": missing}
    return write_whole(path, render("comparison", f"{len(runs)} runs", data, {}))


def load_run(folder: Path, name: str) -> Run:
    """The run in a folder, from its records, which are read once."""
    verdicts: dict[tuple[str, str], Verdict] = {}
    builder = SummaryBuilder()
    for record in read_run(folder):
        builder.add(record)
        right, best = record.base_right, record.best
        if right is not None:
            verdicts[record.sample, record.question] = Verdict(
                right, best is not None, record.num_layers - best.length if best else 0
            )
    return Run(name, folder, summary_of(folder, builder), verdicts)


def run_names(run_dirs: Sequence[Path]) -> list[str]:
    """The folders' own names where they all differ, else their paths below the folder that holds them all."""
    folders = [folder.resolve() for folder in run_dirs]
    if len(set(folders)) < len(folders):
        raise UserError("The same run is given twice: name each run once.")
    names = [folder.name for folder in folders]
    if len(set(names)) == len(names):
        return names
    common = Path(os.path.commonpath(folders))
    return [str(folder.relative_to(common)) for folder in folders]


def what_differs(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each run, the settings in which the runs differ, as KEY=VALUE words."""
    keys = sorted({key for values in settings for key in values if not key.startswith(FREE_KEYS)})
    differing = [key for key in keys if len({repr(values.get(key)) for values in settings}) > 1]
    return [" ".join(f"{key}={values.get(key)}" for key in differing) for values in settings]


def _row(run: Run, reference: Run, settings: str, page_folder: Path) -> dict[str, Any]:
    report = run.folder / "report.html"
    return {
        "name": run.name,
        "settings": settings,
        "link": os.path.relpath(report, page_folder) if report.is_file() else None,
        "summary": asdict(run.summary),
        "shared": len(_shared(run, reference)),
        "differences": None if run is reference else differences(run, reference),
    }


def differences(run: Run, reference: Run) -> dict[str, dict[str, Any] | None]:
    """The run minus the reference, each with its 95% interval: paired over the samples that both judged, if any.

    `fixed` and its like are paired over samples that both bases got wrong, `shortened` and `saved` over those that both
    got right; None where there is nothing to compare.
    """
    pairs = [(run.verdicts[sample], reference.verdicts[sample]) for sample in _shared(run, reference)]
    if not pairs:
        return _unpaired(run.summary, reference.summary)
    wrong = [(ours, theirs) for ours, theirs in pairs if not ours.base and not theirs.base]
    right = [(ours, theirs) for ours, theirs in pairs if ours.base and theirs.base]
    return {
        "base": _paired([(ours.base, theirs.base) for ours, theirs in pairs]),
        "found": _paired([(ours.found, theirs.found) for ours, theirs in pairs]),
        "fixed": _paired([(ours.found, theirs.found) for ours, theirs in wrong]),
        "shortened": _paired([(ours.saved > 0, theirs.saved > 0) for ours, theirs in right]),
        "saved": _paired_mean([ours.saved - theirs.saved for ours, theirs in right]),
    }


def _shared(run: Run, reference: Run) -> list[tuple[str, str]]:
    """The samples that both judged, in order; none where their tasks differ."""
    same_task = run.summary.task == reference.summary.task
    return sorted(run.verdicts.keys() & reference.verdicts.keys()) if same_task else []


def _paired(pairs: Sequence[tuple[bool, bool]]) -> dict[str, Any] | None:
    only_first = sum(ours and not theirs for ours, theirs in pairs)
    only_second = sum(theirs and not ours for ours, theirs in pairs)
    change = bonett_price(only_first, only_second, len(pairs))
    return None if change is None else {**asdict(change), "of": len(pairs), "paired": True}


def _paired_mean(changes: Sequence[int]) -> dict[str, Any] | None:
    """None where nothing is shared; no limits where the changes show no spread, so that nothing looks clear."""
    mean = mean_of(Counter(changes))
    if mean.mean is None:
        return None
    return {"difference": mean.mean, "low": mean.low, "high": mean.high, "of": len(changes), "paired": True}


def _unpaired(run: Summary, reference: Summary) -> dict[str, dict[str, Any] | None]:
    pairs = {
        "base": (run.base_accuracy, reference.base_accuracy),
        "found": (run.found_accuracy_oracle, reference.found_accuracy_oracle),
        "fixed": (run.fixed, reference.fixed),
        "shortened": (run.shortened, reference.shortened),
        "saved": (_as_rate(run.layers_saved), _as_rate(reference.layers_saved)),
    }
    found = {name: newcombe(first, second) for name, (first, second) in pairs.items()}
    return {name: None if change is None else {**asdict(change), "paired": False} for name, change in found.items()}


def _as_rate(mean: Mean) -> Rate:
    """A mean for `newcombe`, whose way of joining two intervals holds for means too: Zou and Donner (2008),
    Statistics in Medicine 27:1693-1702.
    """
    return Rate(count=0, of=mean.of, rate=mean.mean, low=mean.low, high=mean.high)
