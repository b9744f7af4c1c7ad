"""Where the engine's time goes: matrix products, attention, the head's softmax, moving rows, other operations, and Python.

torch's profiler times every operation of a replayed search (see bench_engine.py); what no operation takes is Python: the
engine's, the model's modules' and the profiler's own. Calling an operation is part of it, and so not Python here. `slower` is
how many times as long the same takes with the profiler as without: what it adds is in the shares, most of it in Python's.

    python experiments/bench_profile.py --task arc_easy --items 32 --simulations 100 --waves 16 --flights 32 16 1 --threads 1 \
        --save experiments/results/profile_cpu_arc_easy.json
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench_engine import command, parse, run_engine
from bench_meters import device_name
from bench_subjects import ask_as_a_search_does, real
from torch.profiler import ProfilerActivity, profile

from cola_search.run_folder import provenance

KINDS = {  # what an operation's name begins with, behind aten::
    "matrix products": ("mm", "addmm", "bmm", "matmul", "linear"),
    "attention": ("_scaled_dot_product", "scaled_dot_product"),
    "softmax of the head": ("_log_softmax", "log_softmax", "amax", "topk"),
    "moving rows": ("copy_", "index", "cat", "slice", "gather", "clone", "to", "_to_copy", "contiguous"),
}


def main() -> None:
    """Prints, and perhaps saves, the shares of each wave size and number of samples in flight."""
    args = parse(__doc__)
    torch.set_num_threads(args.threads)
    model, task, samples = real(args)
    waves = {sample.id: ask_as_a_search_does(args, model, task, sample) for sample in samples}
    rows = []
    for wave in args.waves:
        for flight in args.flights:
            replay = partial(run_engine, args, model, task, samples, waves, wave, flight)
            replay()  # the pages of the pool are fresh the first time
            plain, _ = replay()
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                seconds, _ = replay()
            spent = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
            rows.append({"wave": wave, "in_flight": flight, **shares(spent, seconds), "slower": seconds / plain})
            print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    if args.save:
        told = {"provenance": provenance(command(args, __file__)), "device": device_name(model), "rows": rows}
        Path(args.save).write_text(json.dumps(told, indent=1) + "\n")


def shares(spent: dict[str, float], seconds: float) -> dict[str, Any]:
    """Shares of the time: operations by kind, those of no kind, and what is left, which is Python."""
    kinds = dict.fromkeys([*KINDS, "other operations"], 0.0)
    for name, taken in spent.items():
        kinds[kind_of(name)] += taken / seconds
    return {**kinds, "python": 1 - sum(kinds.values())}


def kind_of(name: str) -> str:
    """The kind of an operation by its name."""
    bare = name.removeprefix("aten::")
    return next((kind for kind, starts in KINDS.items() if bare.startswith(starts)), "other operations")


if __name__ == "__main__":
    main()
