"""Where the engine's time goes: matrix products, attention, the head's softmax, moving rows, other operations, and Python.

torch's profiler times every operation of a replayed search (see bench_engine.py); what no operation takes is `between`: the
engine's Python, the model's modules', torch's way into each operation, and the profiler's own. `slower` is how many times as
long the same takes with the profiler as without: what it adds is in the shares.

Where Linux `perf` is installed, another replay is sampled by it a thousand times a second of CPU: `interpreter` is the
share of samples inside of Python itself, torch's binding to it, and numpy. That needs no calibration, so it is the one to quote.

    python experiments/bench_profile.py --task arc_easy --items 32 --simulations 100 --waves 16 --flights 32 16 1 --threads 1 \
        --save experiments/results/profile_cpu_arc_easy.json
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench_engine import command, parse, replayed
from bench_meters import device_name, timed
from bench_subjects import ask_as_a_search_does, make_engine, real
from torch.profiler import ProfilerActivity, profile

from cola_search.run_folder import provenance

KINDS = {  # what an operation's name begins with, behind aten::
    "matrix products": ("mm", "addmm", "bmm", "matmul", "linear"),
    "attention": ("_scaled_dot_product", "scaled_dot_product"),
    "softmax of the head": ("_log_softmax", "log_softmax", "amax", "topk"),
    "moving rows": ("copy_", "index", "cat", "slice", "gather", "clone", "to", "_to_copy", "contiguous"),
}
INTERPRETER = ("python", "libpython", "libtorch_python", "_multiarray")  # what the names of these libraries begin with


def main() -> None:
    """Prints, and perhaps saves, the shares of each wave size and number of samples in flight."""
    args = parse(__doc__)
    torch.set_num_threads(args.threads)
    model, task, samples = real(args)
    waves = {sample.id: ask_as_a_search_does(args, model, task, sample) for sample in samples}
    rows = []
    for wave in args.waves:
        for flight in args.flights:
            replay = partial(replayed, make_engine(args, model, task, flight), samples, waves, wave, flight)
            replay()  # the pages of the pool are fresh the first time
            plain = timed(model, replay)
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                seconds = timed(model, replay)
            spent = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
            sampled = interpreter_share(sampled_libraries(replay)) if shutil.which("perf") else None
            rows.append(
                {"wave": wave, "in_flight": flight, "evaluations_per_second": sum(map(len, waves.values())) / plain}
                | shares(spent, seconds)
                | {"slower": seconds / plain, "interpreter": sampled}
            )
            print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    if args.save:
        told = {"provenance": provenance(command(args, __file__)), "device": device_name(model), "rows": rows}
        Path(args.save).write_text(json.dumps(told, indent=1) + "\n")


def shares(spent: dict[str, float], seconds: float) -> dict[str, Any]:
    """Shares of the time: operations by kind, those of no kind, and what is left between them."""
    kinds = dict.fromkeys([*KINDS, "other operations"], 0.0)
    for name, taken in spent.items():
        kinds[kind_of(name)] += taken / seconds
    return {**kinds, "between": 1 - sum(kinds.values())}


def kind_of(name: str) -> str:
    """The kind of an operation by its name."""
    bare = name.removeprefix("aten::")
    return next((kind for kind, starts in KINDS.items() if bare.startswith(starts)), "other operations")


def sampled_libraries(replay: Callable[[], Any]) -> dict[str, float]:
    """Shares of perf's samples of this process during a few replays, by the library that was running."""
    with tempfile.NamedTemporaryFile() as file:
        ask = f"perf record --event cpu-clock --freq 999 --pid {os.getpid()} --output {file.name}".split()
        perf = subprocess.Popen(ask, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)  # until it is attached
        for _ in range(3):
            replay()
        perf.send_signal(signal.SIGINT)
        perf.wait()
        tell = f"perf report --input {file.name} --sort dso --stdio --field-separator |".split()
        lines = subprocess.run(tell, capture_output=True, text=True, check=True).stdout.splitlines()
    parts = [line.split("|") for line in lines if line and not line.startswith("#")]
    return {library.strip(): float(share.strip(" %")) / 100 for share, library in parts}


def interpreter_share(libraries: dict[str, float]) -> float:
    """The share of Python itself, torch's binding to it, and numpy."""
    return sum(share for name, share in libraries.items() if name.startswith(INTERPRETER))


if __name__ == "__main__":
    main()
