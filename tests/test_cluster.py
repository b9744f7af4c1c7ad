"""Replicas on a real Ray of several nodes (Ray's own cluster_utils), most with workers that need no model."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cluster_workers
import pytest
import ray
from cluster_workers import EnvironmentWorker, TellingWorker
from ray import cloudpickle
from ray.cluster_utils import Cluster

from cola_search.backend import RawRecord, Worker
from cola_search.cluster import make_backend
from cola_search.cluster_settings import ClusterSettings
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.pool import GIVEN_UP, run_pool
from cola_search.run import run as run_search

STORE = 80 * 2**20
LOST = GIVEN_UP + "its replica was lost every time: "
FAST_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without resources and one node with 2 CPUs and 2 (logical) GPUs."""
    cloudpickle.register_pickle_by_value(cluster_workers)  # replicas cannot import from the folder of the tests
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head | {"_system_config": FAST_HEALTH_CHECKS})
    cluster.add_node(num_cpus=2, num_gpus=2, object_store_memory=STORE)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    with suppress(Exception):
        yield cluster
    ray.shutdown()
    cluster.shutdown()


def settings(**changes: object) -> ClusterSettings:
    return ClusterSettings(**({"replicas": 2, "gpus_per_replica": 0, "wait_seconds": 60.0} | changes))  # type: ignore[arg-type]


def run(
    work: list[str], factory: Callable[[], Worker] = TellingWorker, per_call: int = 1, **changes: object
) -> list[RawRecord]:
    chosen = settings(**changes)
    with make_backend(chosen, factory) as backend:
        return list(run_pool(backend, work, chosen.limits(per_call)))


def values(records: list[RawRecord]) -> dict[str, str]:
    """What a record says, by sample, without the process that said it; fails if a sample occurs twice."""
    assert len({record["sample"] for record in records}) == len(records)
    return {record["sample"]: record["value"] if record["error"] is None else record["error"] for record in records}


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


def all_free() -> bool:
    total, free = ray.cluster_resources(), ray.available_resources()
    return all(free.get(name, 0) == total[name] for name in ("CPU", "GPU"))


IDS = [f"s{i}" for i in range(12)]


def test_records_do_not_depend_on_the_number_of_replicas(cluster: Cluster) -> None:
    one = values(run(IDS, replicas=1))
    assert one == values(run(IDS, replicas=2, per_call=3))
    assert one == values(run(IDS[::-1], replicas=5, cpus_per_replica=0.4))


def test_a_run_survives_samples_that_kill_raise_hang_and_spoil(cluster: Cluster) -> None:
    records = values(run(["kill-1", *IDS, "raise-1", "hang-1", "spoil-1"], deadline_seconds=2.0))
    good = values(run(IDS, replicas=1))
    assert {sample: records[sample] for sample in IDS} == good
    assert records["kill-1"] == LOST + "its process died"
    assert records["raise-1"].startswith(GIVEN_UP + "it raised twice: ValueError: bad sample (cluster_workers.py:")
    assert records["hang-1"] == LOST + "no answer within 2 s (cluster.deadline_seconds)"
    assert records["spoil-1"].startswith(LOST + "ReplicaBroken: CUDA error")


def test_a_replica_that_is_killed_from_outside_loses_nothing(cluster: Cluster) -> None:
    chosen = settings()
    with make_backend(chosen, partial(TellingWorker, 0.2)) as backend:
        stream = run_pool(backend, IDS, chosen.limits())
        first = next(stream)
        os.kill(first["pid"], signal.SIGKILL)
        records = [first, *stream]
    assert values(records) == values(run(IDS, replicas=1))


def test_leaving_the_block_by_an_exception_frees_every_resource_for_the_next_job(cluster: Cluster) -> None:
    kept = []
    for _ in range(2):  # the second job needs what the first one had
        with (
            pytest.raises(KeyboardInterrupt) as stop,
            make_backend(settings(gpus_per_replica=1), TellingWorker) as backend,
        ):
            next(run_pool(backend, ["s1", "hang-1", "hang-2", "hang-3"]))
            raise KeyboardInterrupt
        kept.append(stop)  # as Hydra keeps the exception of a failed job, with all its frames
    assert eventually(all_free)


def test_replicas_share_one_gpu_by_fractions(cluster: Cluster) -> None:
    chosen = settings(gpus_per_replica=0.5, replicas=4, cpus_per_replica=0.5)
    gpu_of = {}
    with make_backend(chosen, EnvironmentWorker) as backend:
        for record in run_pool(backend, map(str, range(2000)), chosen.limits()):
            gpu_of[record["pid"]] = record["CUDA_VISIBLE_DEVICES"]
            if len(gpu_of) == 4:
                break
    assert sorted(gpu_of.values()) == ["0", "0", "1", "1"]


def test_a_replica_that_reserved_no_gpu_sees_none(cluster: Cluster) -> None:
    records = run(IDS, EnvironmentWorker, gpus_per_replica=0)
    assert {record["CUDA_VISIBLE_DEVICES"] for record in records} == {""}


def test_one_replica_gets_several_gpus_and_its_threads(cluster: Cluster) -> None:
    records = run(IDS, EnvironmentWorker, gpus_per_replica=2, replicas=1, cpus_per_replica=2)
    assert {(record["CUDA_VISIBLE_DEVICES"], record["OMP_NUM_THREADS"]) for record in records} == {("0,1", "2")}


def test_work_begins_although_most_replicas_find_no_room(cluster: Cluster) -> None:
    assert len(values(run(IDS, replicas=30))) == len(IDS)


def test_a_cluster_without_room_is_told_with_what_is_wanted_and_what_there_is(cluster: Cluster) -> None:
    with pytest.raises(UserError, match=r"wants CPU 1, GPU 8 on one node.*has CPU 2, GPU 2 on 2 nodes.*wait_seconds"):
        run(IDS, gpus_per_replica=8, wait_seconds=2.0)


def test_a_model_that_cannot_be_loaded_ends_the_run_with_its_own_sentence(cluster: Cluster) -> None:
    with pytest.raises(UserError, match=r"^model=nonsense: no such model$"):
        run(IDS, cluster_workers.refuses)


@pytest.mark.parametrize(
    ("factory", "reason"),
    [("breaks", r"\d+ replicas .*: OSError: disk on fire"), ("dies", r"\d+ replicas .*: its process died")],
)
def test_replicas_that_never_come_up_end_the_run_with_the_reason(cluster: Cluster, factory: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        run(IDS, getattr(cluster_workers, factory), replicas=4, cpus_per_replica=0.5)


class Uninstalled:
    """Stands for the replica on a node that lacks a package."""

    def __init__(self, threads: int, *, gpu: bool) -> None:
        raise ModuleNotFoundError("No module named 'cola_search'")

    def start(self, factory: bytes) -> None:
        """Never reached."""


def test_a_broken_installation_on_a_node_is_told_with_its_own_error(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr("cola_search.slot.ReplicaActor", ray.remote(Uninstalled))
    with pytest.raises(UserError, match=r"its process died: ModuleNotFoundError: No module named 'cola_search'$"):
        run(IDS, replicas=4, cpus_per_replica=0.5)


def test_a_cluster_is_joined_by_its_address_and_left_running(cluster: Cluster) -> None:
    connect = partial(ray.init, address=cluster.address, log_to_driver=False, logging_level="ERROR")
    ray.shutdown()
    try:
        assert len(values(run(IDS, address=cluster.address))) == len(IDS)
        assert not ray.is_initialized()
    finally:
        connect()
    assert eventually(all_free)


def test_nodes_come_and_go_while_work_runs(cluster: Cluster) -> None:
    chosen = settings(replicas="auto")
    work = [f"n{i}" for i in range(60)]
    processes, sizes = set(), set()
    node = None
    with make_backend(chosen, partial(TellingWorker, 0.2)) as backend:
        records = []
        for record in run_pool(backend, iter(work), chosen.limits()):
            records.append(record)
            processes.add(record["pid"])
            sizes.add(backend.size)
            if len(records) == 4:
                node = cluster.add_node(num_cpus=2, object_store_memory=STORE)
            elif node and len(processes) == 4:
                cluster.remove_node(node, allow_graceful=False)
                node = None
    assert sizes >= {2, 4}
    assert len(processes) >= 4 and node is None
    assert values(records) == values(run(work, replicas=2))


def test_a_search_on_a_model_loses_nothing_when_a_node_vanishes_and_another_comes(
    cluster: Cluster, tiny_folder: Path, tmp_path: Path
) -> None:
    def search(run_dir: Path, *overrides: str) -> list[dict[str, Any]]:
        run_search(compose_settings([
            f"model='{tiny_folder}'", "model.dtype=float32", "samples=24", "engine.memory=50MB", "engine.threads=1",
            "tracking=none", f"run_dir='{run_dir}'", *overrides,
        ]))  # fmt: skip
        rows = [json.loads(line) for line in (run_dir / "records.jsonl").read_text().splitlines()]
        return sorted(({**row, "seconds": 0} for row in rows), key=lambda row: row["sample"])

    node = cluster.add_node(num_cpus=2, object_store_memory=STORE)
    on_ray = ["cluster.mode=ray", "cluster.replicas=auto", "cluster.cpus_per_replica=2", "cluster.gpus_per_replica=0"]
    with ThreadPoolExecutor(1) as pool:  # nodes are added and removed by the main thread
        found = pool.submit(search, tmp_path / "ray", *on_ray)
        records = tmp_path / "ray" / "records.jsonl"
        assert eventually(lambda: records.exists() and records.read_bytes().count(b"\n") >= 3, seconds=100.0)
        cluster.remove_node(node, allow_graceful=False)
        node = cluster.add_node(num_cpus=2, object_store_memory=STORE)
        assert found.result() == search(tmp_path / "one", "cluster.mode=inprocess")
    cluster.remove_node(node)


def test_a_sample_is_not_blamed_for_a_vanished_node_whose_place_moved_to_another_one(cluster: Cluster) -> None:
    chosen = settings(replicas=1, cpus_per_replica=3, max_attempts=1)
    nodes = [cluster.add_node(num_cpus=3, object_store_memory=STORE) for _ in range(2)]
    with make_backend(chosen, partial(TellingWorker, 1.0)) as backend:
        stream = run_pool(backend, ["s0", "s1"], chosen.limits())
        records = [next(stream)]
        home = next(slot.node for slot in backend.up.values())  # type: ignore[union-attr]
        cluster.remove_node(next(node for node in nodes if node.node_id == home), allow_graceful=False)
        records += stream
    cluster.remove_node(next(node for node in nodes if node.node_id != home))
    assert [record["error"] for record in records] == [None, None]
