"""The command `cola-voids`: which layers are voids, for every token of some samples, in prompt and answer."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cola_search.command import CONFIG_DIR, read_command
from cola_search.config import compose_jobs
from cola_search.errors import UserError
from cola_search.run_folder import make_folder
from cola_search.settings import Settings
from cola_search.shell import OK, run_command, tell
from cola_search.whole_file import write_whole

if TYPE_CHECKING:
    from cola_search.model.voids import Phase, Trace, Voids

HELP = """\
cola-voids traces which layers a model does not use, token by token (LAC, arxiv.org/abs/2505.14467).

  cola-voids                                          SmolLM2 on 16 items of ARC-Easy
  cola-voids model=smollm2 task=boolq alpha=0.8 samples=8 run_dir=FOLDER
  cola-voids phases=pp                                prompts only: one pass, nothing is generated

model=, task=, samples=, model.KEY=, task.KEY=, --config-dir FOLDER   as for cola-search
alpha=A            share of the range of the earlier layers' norm changes below which a layer is a void (0.8)
phases=P           pp (prompt), rg (generated answer), or both
change=C           signed (Void) or absolute (LAC)
max_new_tokens=N   most tokens of an answer; by default the task's own, or 16
batch_size=N       samples that share a pass (16); it does not change the result
heatmaps=N         how many samples are drawn token by token (4)
run_dir=FOLDER     for voids.npz (norms and thresholds), voids.json (voids, usage by layer) and voids.html (pictures)
"""
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Where the picture of usage against alpha looks."""
_PASSED_ON = ("model", "task", "samples", "run_dir")


@dataclass
class Options:
    """What is asked of the tracing itself."""

    alpha: float = 0.8
    phases: str = "both"
    change: str = "signed"
    max_new_tokens: int | None = None
    batch_size: int = 16
    heatmaps: int = 4

    @property
    def phase_names(self) -> "tuple[Phase, ...]":
        """The phases to trace. Raises UserError for others."""
        known: dict[str, tuple[Phase, ...]] = {"pp": ("pp",), "rg": ("rg",), "both": ("pp", "rg")}
        if self.phases not in known:
            raise UserError(f"phases={self.phases} is not one of pp, rg, both.")
        return known[self.phases]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code: 0, 2 if the user must change something, or 130 (stopped)."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    return run_command("cola-voids", lambda: _answer(typed))


def _answer(arguments: Sequence[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        tell(HELP.rstrip())
        return OK
    options, settings, named = read(arguments)
    folder = Path(settings.run_dir if named else f"runs/voids_{datetime.now():%Y-%m-%d_%H-%M-%S}")
    tell(_run(options, settings, folder))
    return OK


def read(arguments: Sequence[str]) -> tuple[Options, Settings, bool]:
    """The options, the settings of model and task, and whether a run_dir was named. Raises UserError, naming the key."""
    command = read_command(arguments)
    for flag in command.flags:
        if flag.startswith("-") and flag.partition("=")[0] not in CONFIG_DIR:
            raise UserError(f"{flag} is not known; see `cola-voids --help`.")
    options, passed_on = Options(), []
    for override in command.overrides:
        key, _, value = override.partition("=")
        if key in vars(options):
            setattr(options, key, _value(key, value))
        elif key.partition(".")[0] in _PASSED_ON:
            passed_on.append(override)
        else:
            raise UserError(f"{key} is not known to cola-voids; see `cola-voids --help`.")
    options.phase_names  # noqa: B018  checked before anything is loaded
    if options.heatmaps < 0:
        raise UserError(f"heatmaps={options.heatmaps} must not be negative; 0 leaves them out.")
    (settings,) = compose_jobs(passed_on, sweep=False, config_dir=command.config_dir)
    return options, settings, any(text.startswith("run_dir=") for text in passed_on)


def _value(key: str, text: str) -> Any:
    kinds: dict[str, Callable[[str], Any]] = {"alpha": float, "phases": str, "change": str}
    if key == "max_new_tokens" and text == "null":
        return None
    try:
        return kinds.get(key, int)(text)
    except ValueError:
        raise UserError(f"{key}={text} is not a number.") from None


def _run(options: Options, settings: Settings, folder: Path) -> str:
    from cola_search.model.loading import load_model
    from cola_search.model.voids import check_rule, find_voids_many
    from cola_search.tasks.load import load_task

    check_rule(options.alpha, options.phase_names, options.change)
    make_folder(folder)
    model = load_model(settings.model)
    task = load_task(settings.task, limit=settings.samples, model=model)
    found = find_voids_many(
        model,
        list(task),
        options.alpha,
        phases=options.phase_names,
        change=options.change,
        max_new_tokens=options.max_new_tokens,
        batch_size=options.batch_size,
    )
    summary = summarize(task.ids, found)
    summary |= {"model": model.name, "task": task.name, "alpha": options.alpha, "change": options.change}
    try:
        np.savez_compressed(folder / "voids.npz", **arrays(found))
        write_whole(folder / "voids.json", json.dumps(summary, ensure_ascii=False) + "\n")
        write_whole(folder / "voids.html", page(summary, task.ids, found, options.heatmaps))
    except OSError as error:
        raise UserError(f"run_dir: cannot write into {folder} ({error.strerror}): free some space.") from error
    return told(summary, folder)


def summarize(ids: Sequence[str], found: "Sequence[Voids]") -> dict[str, Any]:
    """Usage by phase and layer over all tokens, and each sample's voids as lists of layers, one a token."""
    usage = {}
    for phase in ("pp", "rg"):
        voids = np.concatenate([getattr(each, phase) for each in found])
        shares = (1 - voids.mean(axis=0)).round(6).tolist() if len(voids) else None
        usage[phase] = {
            "tokens": len(voids),
            "used": float((~voids).mean()) if len(voids) else None,
            "used_by_layer": shares,
        }
    samples = [
        {"sample": name, "pp": _listed(each.prompt), "rg": _listed(each.response)}
        for name, each in zip(ids, found, strict=True)
    ]
    return {"schema": 1, "samples": samples, "usage": usage}


def _listed(trace: "Trace") -> list[list[Any]]:
    """Per token its text and the layers that are voids."""
    return [[token, np.flatnonzero(row).tolist()] for token, row in zip(trace.tokens, trace.voids, strict=True)]


def arrays(found: "Sequence[Voids]") -> dict[str, Any]:
    """Norms, thresholds and voids of sample i under `i.pp.norms`, `i.rg.voids` and so on."""
    return {
        f"{i}.{phase}.{name}": getattr(trace, name)
        for i, each in enumerate(found)
        for phase, trace in (("pp", each.prompt), ("rg", each.response))
        for name in ("norms", "thresholds", "voids")
    }


def page(summary: dict[str, Any], ids: Sequence[str], found: "Sequence[Voids]", heatmaps: int) -> str:
    """An HTML page with the layers by phase, usage against alpha, and the tokens of the first samples."""
    from cola_search.report.void_figures import phase_heatmap, token_heatmap, usage_curves

    used = {
        phase.upper(): np.array(values["used_by_layer"])
        for phase, values in summary["usage"].items()
        if values["used_by_layer"]
    }
    title = escape(f"Voids of {summary['model']} on {summary['task']}, alpha {summary['alpha']:g}")
    parts = [f"<h1>{title}</h1>", phase_heatmap(used, "Share of tokens that use each layer") if used else ""]
    parts.append(usage_curves(by_alpha(found), "Layers used against alpha"))
    for name, each in list(zip(ids, found, strict=True))[:heatmaps]:
        parts.append(f"<h2>{escape(name)}</h2>")
        for label, trace in (("prompt", each.prompt), ("answer", each.response)):
            if trace.tokens:
                parts.append(token_heatmap(trace.tokens, trace.voids, label))
    style = "body{font-family:sans-serif;margin:2em;background:#fff;color:#333}svg{display:block;margin:1em 0}"
    head = f"<meta charset=utf-8><title>{title}</title><style>{style}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def by_alpha(found: "Sequence[Voids]") -> dict[str, list[tuple[float, float]]]:
    """By phase, (alpha, share of layers used over all tokens) for a range of alphas, from the norms that are there."""
    import torch

    from cola_search.model.voids import judge_norms

    curves = {}
    for phase, traces in (("PP", [each.prompt for each in found]), ("RG", [each.response for each in found])):
        norms = torch.from_numpy(np.concatenate([trace.norms for trace in traces]))
        if len(norms):
            voids = {alpha: judge_norms(norms, alpha, found[0].change)[0] for alpha in ALPHAS}
            curves[phase] = [(alpha, float((~each).float().mean())) for alpha, each in voids.items()]
    return curves


def told(summary: dict[str, Any], folder: Path) -> str:
    """What the command says in the end."""
    lines = [
        f"{summary['model']} on {summary['task']}, {len(summary['samples'])} samples, alpha {summary['alpha']:g}"
        f" ({summary['change']} change)"
    ]
    for phase, values in summary["usage"].items():
        if values["tokens"]:
            shares = values["used_by_layer"]
            idle = [f"{layer} ({shares[layer]:.0%})" for layer in np.argsort(shares, kind="stable")[:5].tolist()]
            lines.append(
                f"{phase.upper()}: {values['used']:.1%} of the layers used over {values['tokens']} tokens;"
                f" least used: {', '.join(idle)}"
            )
    return "\n".join([*lines, f"written: {folder / 'voids.npz'}, voids.json, voids.html"])


if __name__ == "__main__":
    sys.exit(main())
