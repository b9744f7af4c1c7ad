"""How many replicas a cluster holds."""

from cola_search.cluster_settings import ClusterSettings
from cola_search.placement import describe, replica_resources, replicas_beside, room, wanted_replicas

GPU_NODE = {"CPU": 16.0, "GPU": 4.0, "memory": 1e9}
CPU_NODE = {"CPU": 2.0}


def wanted(nodes: list[dict[str, float]], **settings: object) -> int:
    chosen = ClusterSettings(**settings)  # type: ignore[arg-type]
    return wanted_replicas(chosen, nodes, replica_resources(chosen, nodes))


def test_a_replica_takes_a_gpu_where_there_are_gpus() -> None:
    assert replica_resources(ClusterSettings(), [CPU_NODE, GPU_NODE]) == {"CPU": 1.0, "GPU": 1.0}
    assert replica_resources(ClusterSettings(), [CPU_NODE]) == {"CPU": 1.0}


def test_a_replica_can_be_kept_off_the_gpus() -> None:
    assert replica_resources(ClusterSettings(gpus_per_replica=0), [GPU_NODE]) == {"CPU": 1.0}


def test_auto_fills_the_gpus_of_all_nodes() -> None:
    assert wanted([GPU_NODE, GPU_NODE, CPU_NODE]) == 8


def test_auto_counts_fractions_of_a_gpu() -> None:
    assert wanted([GPU_NODE], gpus_per_replica=0.1, cpus_per_replica=0.1) == 40


def test_a_replica_over_several_gpus_must_fit_into_one_node() -> None:
    assert wanted([{"CPU": 16.0, "GPU": 3.0}] * 2, gpus_per_replica=2) == 2


def test_cores_can_be_the_limit_too() -> None:
    assert wanted([GPU_NODE], cpus_per_replica=6) == 2


def test_auto_without_gpus_fills_the_cores_but_not_the_memory_of_a_big_node() -> None:
    assert wanted([CPU_NODE]) == 2
    assert wanted([{"CPU": 128.0}, CPU_NODE]) == 8 + 2


def test_a_number_is_taken_as_it_is() -> None:
    assert wanted([CPU_NODE], replicas=7) == 7


def test_a_node_that_lacks_a_resource_has_no_room() -> None:
    assert room(CPU_NODE, {"CPU": 1.0, "GPU": 1.0}) == 0


def test_rounding_takes_no_replica_away() -> None:
    assert room({"CPU": 0.3}, {"CPU": 0.1}) == 3


def test_resources_are_told_in_words() -> None:
    assert describe({"CPU": 2.0, "GPU": 0.5, "memory": 1e9}) == "CPU 2, GPU 0.5"


def test_how_many_replicas_share_a_memory_follows_from_their_cores_and_gpus() -> None:
    def beside(on_gpu: bool = False, **settings: object) -> int:
        return replicas_beside(ClusterSettings(**settings), 4, on_gpu=on_gpu)  # type: ignore[arg-type]

    assert [beside(), beside(replicas=2), beside(cpus_per_replica=2), beside(cpus_per_replica=0.1)] == [4, 2, 2, 8]
    assert [beside(mode="inprocess"), beside(cpus_per_replica=16)] == [1, 1]
    assert [beside(True), beside(True, gpus_per_replica=0.25), beside(True, gpus_per_replica=2)] == [1, 4, 1]
