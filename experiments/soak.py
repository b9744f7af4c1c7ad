"""Break things at random while `cola-search` runs on a Ray cluster, then compare its records with an undisturbed run.

    python experiments/soak.py --minutes 5

The cluster is Ray's own cluster_utils on this machine: a head and nodes of one CPU each. The model is tiny and random.
At random moments a replica is killed (-9) or stopped so that it hangs, a node is killed and another one joins, or the
driver is killed (-9), interrupted (Ctrl-C) or terminated, and started again with the same command. When a run is
complete, its records must be those of the undisturbed run: none missing, none twice, all equal but for `seconds`.
Then the next run begins, until the time is over. The result goes to experiments/results/soak.json.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster
from transformers import AutoModelForCausalLM

from cola_search.model.loading import load_model
from cola_search.run_folder import git_commit

RESULTS = Path(__file__).parent / "results"
STORE = 80 * 2**20
NODES = 2
FAST_HEALTH_CHECKS = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
DEADLINE_SECONDS = 30
FAULTS = {  # and how often each comes, relative to the others
    "kill replica": 4,
    "hang replica": 1,
    "kill node": 2,
    "kill driver": 1,
    "interrupt driver": 1,
    "terminate driver": 1,
}


@dataclass
class Tally:
    """What was done to the runs and what came of it."""

    faults: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    records: int = 0
    missing: int = 0
    twice: int = 0
    different: int = 0
    error_records: int = 0
    unasked_exits: list[str] = field(default_factory=list)  # ends of a driver that nobody had signalled
    differences: list[str] = field(default_factory=list)  # the first few, in words
    exit_codes: Counter[str] = field(default_factory=Counter)
    minutes: float = 0.0

    @property
    def good(self) -> bool:
        """Whether every run ended with the records of an undisturbed one."""
        return self.runs > 0 and not (self.missing or self.twice or self.different or self.unasked_exits)


def make_tiny_model(folder: Path) -> str:
    """A folder with a random model of 6 small layers and the tokenizer of the real one."""
    real = load_model("smollm2")
    config = real.hf.config.__class__(**real.hf.config.to_dict())
    config.update({"num_hidden_layers": 6, "hidden_size": 48, "intermediate_size": 96})
    config.update({"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "layer_types": None})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    real.tokenizer.save_pretrained(folder)
    return str(folder)


class Run:
    """One run folder and the driver that works on it, started again whenever it was stopped."""

    def __init__(self, folder: Path, overrides: list[str]) -> None:
        self.folder = folder
        self.command = [sys.executable, "-m", "cola_search", f"run_dir={folder}", *overrides]
        self.output = folder.with_suffix(".log")
        self.start()

    def start(self) -> None:
        with self.output.open("a") as output:
            self.driver = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT)
        self.signalled = False

    def signal(self, what: signal.Signals) -> None:
        self.signalled = True
        self.driver.send_signal(what)

    def records(self) -> list[dict[str, object]]:
        lines = (self.folder / "records.jsonl").read_text().splitlines()
        return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]

    def complete(self, tally: Tally) -> bool:
        """Whether the driver is done; one that was stopped is started again."""
        code = self.driver.poll()
        if code is None:
            return False
        tally.exit_codes[str(code)] += 1
        if code == 0:
            return True
        if not self.signalled:
            tally.unasked_exits.append(self.output.read_text()[-2000:])
        self.start()
        return False


class Breaker:
    """Does one random harm at a time to a cluster and to the run on it."""

    def __init__(self, cluster: Cluster, seed: int, tally: Tally) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)
        self.tally = tally
        self.nodes = [self._join() for _ in range(NODES)]

    def _join(self) -> object:
        return self.cluster.add_node(num_cpus=1, object_store_memory=STORE)

    def replicas(self) -> list[psutil.Process]:
        everyone = psutil.Process().children(recursive=True)
        return [process for process in everyone if process.name().startswith("ray::Replica")]

    def break_something(self, run: Run) -> None:
        kind = self.chance.choices(list(FAULTS), list(FAULTS.values()))[0]
        match kind.split():
            case ["kill" | "hang" as what, "replica"]:
                if not (replicas := self.replicas()):
                    return
                self.chance.choice(replicas).send_signal(signal.SIGKILL if what == "kill" else signal.SIGSTOP)
            case ["kill", "node"]:
                self.cluster.remove_node(self.nodes.pop(self.chance.randrange(NODES)), allow_graceful=False)
                self.nodes.append(self._join())
            case [what, "driver"]:
                signals = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}
                run.signal(signals[what])
        self.tally.faults[kind] += 1


def compare(found: list[dict[str, object]], right: dict[str, dict[str, object]], tally: Tally) -> None:
    """Count what a finished run did wrong."""
    ids = Counter(str(record["sample"]) for record in found)
    tally.runs += 1
    tally.records += len(found)
    tally.missing += len(right.keys() - ids.keys())
    tally.twice += sum(count > 1 for count in ids.values())
    tally.error_records += sum(record["error"] is not None for record in found)
    for record in found:
        expected = right.get(str(record["sample"]), {})
        if keys := [key for key in record if record[key] != expected.get(key)]:
            tally.different += 1
            first = {key: (str(expected.get(key))[:200], str(record[key])[:200]) for key in keys[:3]}
            tally.differences = [*tally.differences, f"{record['sample']}: {keys}: {first}"][:5]


def undisturbed(folder: Path, overrides: list[str]) -> dict[str, dict[str, object]]:
    """The records by sample of a run that nobody disturbs."""
    run = Run(folder, [*overrides, "cluster.replicas=1"])
    if run.driver.wait() != 0:
        sys.exit(f"the undisturbed run failed:\n{run.output.read_text()[-3000:]}")
    return {str(record["sample"]): record for record in run.records()}


def soak(folder: Path, chosen: argparse.Namespace) -> Tally:
    """Disturbed runs until the time is over."""
    settings = [
        f"model={make_tiny_model(folder / 'model')}", "task=arc_easy", f"samples={chosen.samples}", "tracking=none",
        f"search.simulations={chosen.simulations}", f"cluster.deadline_seconds={DEADLINE_SECONDS}",
        "cluster.max_attempts=10",  # at this rate of faults an innocent sample is hit twice now and then
    ]  # fmt: skip
    right = undisturbed(folder / "undisturbed", settings)
    tally = Tally()
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head | {"_system_config": FAST_HEALTH_CHECKS})
    breaker = Breaker(cluster, chosen.seed, tally)
    begun = next_fault = time.monotonic()
    while time.monotonic() - begun < 60 * chosen.minutes:
        run = Run(folder / f"run{tally.runs}", [*settings, f"cluster.address={cluster.address}"])
        while not run.complete(tally):
            time.sleep(0.2)
            if time.monotonic() > next_fault:
                breaker.break_something(run)
                next_fault = time.monotonic() + breaker.chance.uniform(0.3, 1.7) * chosen.every
        compare(run.records(), right, tally)
        print(f"run {tally.runs}: {dict(tally.faults)}, good so far: {tally.good}", flush=True)
    tally.minutes = round((time.monotonic() - begun) / 60, 1)
    cluster.shutdown()
    return tally


def main() -> None:
    """Soaks, prints and saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="no run begins after that")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two faults, on average")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--simulations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        tally = soak(Path(folder), chosen)
    made = {"command": f"soak.py {' '.join(sys.argv[1:])}", "commit": git_commit(), "ray": ray.__version__}
    result = made | {"good": tally.good} | vars(tally)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    sys.exit(not tally.good)


if __name__ == "__main__":
    main()
