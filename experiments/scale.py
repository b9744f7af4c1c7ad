"""How many replicas one driver keeps busy, and what that costs it.

    python experiments/scale.py            all of it, some minutes
    python experiments/scale.py --no-ray   without the check against real Ray actors

The real loop (`run_pool`) drives replicas that are timers (`SimulatedBackend`), from 1 to 1,000 of them. Time is
simulated, but the real time that the loop needs is added to it, and so is what a record costs the driver in a real
run: writing and counting it, Ray's own work for a call, and an fsync for all records that came together. These are
measured here first. A driver that is too slow therefore shows as idle replicas. Left out: W&B, and looking at the
cluster every few seconds. The small end is checked against real Ray actors that sleep.
"""

import argparse
import json
import platform
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from simulated_backend import SimulatedBackend

from cola_search.backend import Event
from cola_search.cluster_settings import ClusterSettings, PoolLimits
from cola_search.digests import TextSet
from cola_search.order import longest_first
from cola_search.pool import Pool, run_pool
from cola_search.ray_backend import RayBackend
from cola_search.record_writer import RecordWriter
from cola_search.records import Counts, Evaluated, Record
from cola_search.report.summary import SummaryBuilder
from cola_search.report.tally import Tally
from cola_search.run_folder import git_commit
from cola_search.tasks.ids import Ids
from cola_search.tasks.items import alternate

RESULTS = Path(__file__).parent / "results"
ASSUMED_CALL_SECONDS = 0.002  # Ray's work for a call where it was not measured
SLOW_SYNC_SECONDS = 0.02  # an fsync on a busy network file system
MANY = 32  # records in a lump, to tell the cost of a record from that of a lump


@dataclass(frozen=True)
class Row:
    """One run of the loop."""

    kind: str  # "ray", "simulated", or "slow disk": simulated with a slow fsync
    replicas: int
    samples: int
    sample_seconds: float
    seconds: float
    samples_per_second: float
    busy: float  # share of the replicas' time in which they work, the start and the tail included
    driver_busy: float  # share of the time in which the driver works
    loop_microseconds: float  # of the loop alone, per sample
    memory_mb: float  # resident memory of the driver, at most


def sleeps(mean: float, sample_id: str) -> float:
    """Seconds that a sample takes: half to one and a half times the mean, fixed by its id."""
    return mean * random.Random(sample_id).uniform(0.5, 1.5)


class Documents(Sequence[dict[str, Any]]):
    """A data set that stays on the disk."""

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: Any) -> Any:
        return {"question": f"What is {index}?"}


def stream(samples: int, mean: float) -> Iterator[str]:
    """Ids in the order of a real run: the longest first, as far as a prompt's length tells (here: not quite)."""
    ids = Ids(alternate([samples]), [Documents(samples)], [""])
    ids.position("0")  # a run asks for the prompt's length by id
    lengths = ((i, int(1000 * sleeps(mean, i) * random.Random(i).uniform(0.7, 1.3))) for i in ids.first(None))
    return longest_first(lengths)


def simulate(replicas: int, samples: int, mean: float, costs: dict[str, float], starts_over: float = 30.0) -> Row:
    """The row of one simulated run; replicas come up one after the other within `starts_over` seconds."""
    a_record, a_lump = costs["ray_call_seconds"] + costs["record_seconds"], costs["sync_seconds"]
    late = random.Random(0)
    backend = SimulatedBackend(
        replicas,
        partial(sleeps, mean),
        start_seconds=lambda replica: late.uniform(0.0, min(starts_over, mean)),
        count_driver=True,
    )
    charged = 0.0
    finished = TextSet()
    order = stream(samples, mean)
    begun = time.perf_counter()
    for lump in Pool(backend, order, PoolLimits()).lumps():
        for record in lump:
            finished.add(record["sample"])
        took = a_lump + len(lump) * a_record
        backend.time += took
        charged += took
    loop = time.perf_counter() - begun
    return row("simulated", replicas, samples, mean, backend.now(), backend.busy_seconds, charged + loop, loop)


def row(
    kind: str, replicas: int, samples: int, mean: float, seconds: float, busy: float, driver: float, loop: float
) -> Row:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Row(
        kind, replicas, samples, mean, seconds, samples / seconds, busy / seconds / replicas, driver / seconds,
        1e6 * loop / samples, memory,
    )  # fmt: skip


class SleepingWorker:
    """A worker that needs no model and no core."""

    def __init__(self, mean: float) -> None:
        self.mean = mean

    def work(self, sample_ids: list[str]) -> list[dict[str, Any]]:
        """Records after the time that the samples take."""
        for sample_id in sample_ids:
            time.sleep(sleeps(self.mean, sample_id))
        return [{"sample": sample_id, "error": None, "chains": ["0-29"] * 100} for sample_id in sample_ids]


class WarmBackend(RayBackend):
    """Begins when all replicas are up, so that the time they take to start is not in the figures."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.kept: list[Event] = []
        while self.ready < self.size:
            self.kept += super().wait(1.0)
        return self

    def wait(self, seconds: float | None) -> list[Event]:
        """The events that are there already, before any other."""
        kept, self.kept = self.kept, []
        return kept or super().wait(seconds)


def with_ray(replicas: int, samples: int, mean: float) -> Row:
    """The same loop on real Ray actors; driver time is the CPU time of this whole process, Ray's threads included."""
    settings = ClusterSettings(replicas=replicas, gpus_per_replica=0, cpus_per_replica=0.1)
    with WarmBackend(settings, partial(SleepingWorker, mean)) as backend:
        begun, cpu, busy = time.perf_counter(), time.process_time(), 0.0
        for record in run_pool(backend, stream(samples, mean), settings.limits()):
            busy += sleeps(mean, record["sample"])
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return row("ray", replicas, samples, mean, seconds, busy, cpu, cpu)


def lump_cost(size: int, count: int = 200) -> float:
    """Median seconds for so many records of 100 chains each to be counted and written durably together, as the driver does it."""
    chains = [Evaluated("0-11 (12-14)x2 15-27", 1, 0.25, 30.0 * i) for i in range(100)]
    counts = Counts(simulations=100, evaluations=100, layer_executions=3000.0)
    tally, builder, took = Tally(), SummaryBuilder(), []
    with tempfile.TemporaryDirectory() as folder, RecordWriter(Path(folder) / "records.jsonl") as writer:
        for i in range(0, count * size, size):
            records = [
                Record(
                    sample=str(j), task="t", model="m", num_layers=30, question="q" * 300, chains=chains, counts=counts,
                    seconds=1.0, seed=0,
                )
                for j in range(i, i + size)
            ]  # fmt: skip
            begun = time.perf_counter()
            writer.append(*records)
            for record in records:
                tally.add(record)
                builder.add(record)
            took.append(time.perf_counter() - begun)
    return statistics.median(took)


def measure(ray: bool, biggest: int) -> tuple[dict[str, float], list[Row]]:
    """What a record and a lump of them cost, and all rows."""
    rows = [with_ray(replicas, 40 * replicas, 0.5) for replicas in (1, 2, 4, 8)] if ray else []
    call = with_ray(2, 2000, 0.0) if ray else None
    one, many = lump_cost(1), lump_cost(MANY)
    a_record = (many - one) / (MANY - 1)
    costs = {
        "ray_call_seconds": call.driver_busy * call.seconds / call.samples if call else ASSUMED_CALL_SECONDS,
        "record_seconds": a_record,
        "sync_seconds": max(0.0, one - a_record),
    }
    rows += [simulate(replicas, 40 * replicas, 0.5, costs) for replicas in (1, 2, 4, 8)]
    rows += [simulate(replicas, 100 * replicas, 10.0, costs) for replicas in (1, 10, 100, 300, 1000)]
    rows += [simulate(1000, samples, 10.0, costs) for samples in (10_000, biggest)]
    rows += [simulate(1000, 50_000, mean, costs) for mean in (5.0, 2.0, 1.0, 0.5)]
    slow = {**costs, "sync_seconds": SLOW_SYNC_SECONDS}
    rows += [replace(simulate(1000, 50_000, mean, slow), kind="slow disk") for mean in (10.0, 2.0)]
    return costs, rows


def table(costs: dict[str, float], rows: list[Row]) -> str:
    """The rows as Markdown, with what was measured beside them."""
    head = "| replicas | samples | s a sample | kind | replicas busy | samples/s | driver busy | loop us | memory MB |"
    lines = [
        f"| {r.replicas:,} | {r.samples:,} | {r.sample_seconds:g} | {r.kind} | {r.busy:.1%} "
        f"| {r.samples_per_second:.1f} | {r.driver_busy:.1%} | {r.loop_microseconds:.0f} | {r.memory_mb:.0f} |"
        for r in rows
    ]
    cost = costs["ray_call_seconds"] + costs["record_seconds"]
    told = ", ".join(f"{name} {value * 1e3:.2f} ms" for name, value in costs.items())
    return "\n".join(
        [
            "# One driver, many replicas",
            "",
            f"`python experiments/scale.py` on {platform.machine()}, Python {platform.python_version()}, commit {git_commit()}. "
            f"Measured: {told}; the last is paid",
            "once for all records that came together, and is 20 ms in the rows of a slow disk.",
            f"So one driver takes in about {1 / cost:,.0f} samples a second at most, however many replicas there are:",
            f"1,000 of them stay busy down to about {1000 * cost:.1f} s a sample. Below that they wait for the driver,",
            "that is for Ray's calls and for writing and counting the records. The memory is that of the driver with what it",
            "knows of the samples: 20 bytes for each, and 8 more once it is finished. The data set stays on the disk, and the",
            "report shows 5,000 samples at most.",
            "",
            head,
            "|" + " ---: |" * 9,
            *lines,
            "",
        ]
    )


def main() -> None:
    """Measures, prints and saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-ray", action="store_true", help="leave out the real actors")
    parser.add_argument("--samples", type=int, default=1_000_000, help="of the longest simulated run")
    chosen = parser.parse_args()
    costs, rows = measure(not chosen.no_ray, chosen.samples)
    RESULTS.mkdir(exist_ok=True)
    text = table(costs, rows)
    print(text)
    (RESULTS / "scale.md").write_text(text)
    (RESULTS / "scale.json").write_text(
        json.dumps({"costs": costs, "rows": [asdict(r) for r in rows]}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
