"""How many replicas a cluster holds: plain arithmetic over resource tables, as Ray reports them."""

from collections.abc import Iterable

from cola_search.cluster_settings import AUTO, ClusterSettings

Resources = dict[str, float]

MAX_CPU_REPLICAS_PER_NODE = 8  # "auto" without GPUs: each replica holds a copy of the model in the node's memory


def replica_resources(settings: ClusterSettings, nodes: Iterable[Resources]) -> Resources:
    """What one replica reserves, e.g. {"CPU": 1.0, "GPU": 0.5}; one node must have all of it."""
    gpus = settings.gpus_per_replica
    if gpus == AUTO:
        gpus = 1.0 if any(node.get("GPU", 0) >= 1 for node in nodes) else 0.0
    resources = {"CPU": float(settings.cpus_per_replica)}
    if float(gpus) > 0:
        resources["GPU"] = float(gpus)
    return resources


def room(node: Resources, need: Resources) -> int:
    """How many replicas one node holds if it is otherwise idle."""
    return min(int(node.get(name, 0.0) / amount + 1e-6) for name, amount in need.items())


def wanted_replicas(settings: ClusterSettings, nodes: Iterable[Resources], need: Resources) -> int:
    """How many replicas to ask for; with "auto" this changes as nodes come and go."""
    if settings.replicas != AUTO:
        return int(settings.replicas)
    rooms = [room(node, need) for node in nodes]
    return sum(rooms if "GPU" in need else [min(free, MAX_CPU_REPLICAS_PER_NODE) for free in rooms])


def replicas_beside(settings: ClusterSettings, cores: int, *, on_gpu: bool) -> int:
    """How many replicas, at most, share the memory of a GPU, or else of a node with so many cores."""
    if settings.mode == "inprocess":
        return 1
    if on_gpu:
        share = settings.gpus_per_replica
        return int(1 / float(share) + 1e-6) if share != AUTO and 0 < float(share) < 1 else 1
    most = MAX_CPU_REPLICAS_PER_NODE if settings.replicas == AUTO else int(settings.replicas)
    return max(1, min(most, room({"CPU": cores}, {"CPU": settings.cpus_per_replica})))


def describe(resources: Resources) -> str:
    """`CPU 2, GPU 0.5`: the CPUs and GPUs of a resource table."""
    return ", ".join(f"{name} {resources.get(name, 0.0):g}" for name in ("CPU", "GPU"))
