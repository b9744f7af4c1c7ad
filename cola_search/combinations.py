"""What settings may not, or need not, be given together: told before anything is loaded."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cola_search.errors import UserError
from cola_search.search_settings import LOCAL_SEARCHES

if TYPE_CHECKING:
    from cola_search.settings import Settings


def check_combinations(settings: "Settings") -> None:
    """Raises UserError for settings of several groups that contradict each other."""
    prior = settings.prior.kind
    if settings.objective.kind == "menu" and prior != "uniform":
        raise UserError(f"prior={prior}: objective=menu searches with the uniform prior; leave prior out.")
    if settings.search.algorithm == "drllm_released" and prior != "uniform":
        walk = "search=drllm_released is a walk that takes no prior"
        raise UserError(f"prior={prior}: {walk}; leave prior out, or choose another search.")
    _check_gpus(settings)


def _check_gpus(settings: "Settings") -> None:
    gpus, model = settings.cluster.gpus_per_replica, settings.model
    if _on_ray(settings) and model.device.startswith("cuda:") and model.device != "cuda:0":
        raise UserError(
            f"model.device={model.device}: cluster=ray gives each replica a GPU of its own, which it sees as cuda:0; "
            "write model.device=cuda, and choose GPUs by CUDA_VISIBLE_DEVICES."
        )
    if isinstance(gpus, str):
        return
    if gpus > 1 and model.device_map is None:
        raise UserError(
            f"cluster.gpus_per_replica={gpus:g} needs model.device_map=auto: without it a model takes one GPU."
        )
    if gpus == 0 and settings.cluster.mode == "ray" and (model.device_map or model.device.startswith("cuda")):
        key = "model.device_map" if model.device_map else f"model.device={model.device}"
        raise UserError(
            f"{key} needs a GPU, and cluster.gpus_per_replica=0 gives a replica none: reserve a share such as 0.5."
        )


def _on_ray(settings: "Settings") -> bool:
    """Whether replicas are actors of Ray: the other objectives work in one process."""
    return settings.cluster.mode == "ray" and settings.objective.kind == "sample"


def check_read(overrides: Iterable[str], jobs: Sequence["Settings"]) -> None:
    """Raises UserError for a KEY=VALUE that no job of the command reads: who typed it expects it to matter."""
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        for rule in _RULES:
            if rule.covers(key, value) and not any(map(rule.holds, jobs)):
                raise UserError(f"{key}={value} would not be read: it is for {rule.reader}; leave it out.")


class _Rule(NamedTuple):
    """Which jobs read some settings.

    A key that ends with a dot is a group: it stands for all keys of the group, and for choosing an option of it other than the
    one that asks for nothing.
    """

    keys: tuple[str, ...]
    reader: str
    holds: Callable[["Settings"], bool]

    def covers(self, key: str, value: str) -> bool:
        """Whether the rule is about this key."""
        groups = tuple(each for each in self.keys if each.endswith("."))
        return key in self.keys or key.startswith(groups) or (f"{key}." in groups and value not in ("none", "sample"))


def _under(group: str, names: str) -> tuple[str, ...]:
    return tuple(f"{group}.{name}" for name in names.split())


_ONLY_DATASET = "goal selection margin baselines export"
_ONLY_MENU = "budget menu_size searches records candidates finalists"
_ONLY_RAY = "address gpus_per_replica cpus_per_replica calls_in_flight deadline_seconds wait_seconds start_seconds"
_ONLY_TREE = "selection c length_penalty backup widening widening_exponent random_child"

_RULES = (
    _Rule(
        ("samples", "controls.", "verify.", "tracking.", *_under("cluster", "replicas max_attempts retry_given_up")),
        "objective=sample",
        lambda s: s.objective.kind == "sample",
    ),
    _Rule(
        _under("cluster", _ONLY_RAY),
        "cluster=ray and objective=sample",
        _on_ray,
    ),
    _Rule(
        _under("objective", _ONLY_DATASET),
        "objective=dataset",
        lambda s: s.objective.kind == "dataset",
    ),
    _Rule(
        _under("objective", _ONLY_MENU),
        "objective=menu",
        lambda s: s.objective.kind == "menu",
    ),
    _Rule(("objective.",), "objective=dataset or menu", lambda s: s.objective.kind != "sample"),
    _Rule(_under("tracking", "project entity mode group name"), "tracking=wandb", lambda s: s.tracking.kind == "wandb"),
    _Rule(
        ("engine.samples_in_flight",),
        "engine.mix_samples=true",
        lambda s: s.engine.mix_samples or s.objective.kind != "sample",
    ),
    _Rule(("prior.alpha",), "prior=voids", lambda s: s.prior.kind == "voids" or s.objective.kind == "dataset"),
    _Rule(_under("prior", "phase floor"), "prior=voids", lambda s: s.prior.kind == "voids"),
    _Rule(("prior.strength",), "prior=learnt", lambda s: s.prior.kind == "learnt" or s.objective.kind == "dataset"),
    _Rule(_under("prior", "records menu"), "prior=learnt", lambda s: s.prior.kind == "learnt"),
    _Rule(
        _under("search", _ONLY_TREE), "tree searches (search.algorithm=mcts)", lambda s: s.search.algorithm == "mcts"
    ),
    _Rule(
        _under("search", "reward temperature cost_exponent history"),
        "tree and local searches",
        lambda s: s.search.algorithm in ("mcts", *LOCAL_SEARCHES),
    ),
    _Rule(("search.visit_total",), "search.selection=uct", lambda s: s.search.selection == "uct"),
    _Rule(("search.nested",), "search.space=edits", lambda s: s.search.space == "edits"),
    _Rule(("search.improved_by",), "search.stop=improved", lambda s: s.search.stop == "improved"),
    _Rule(("search.beam_width",), "search=beam", lambda s: s.search.algorithm == "beam"),
    _Rule(("search.neighbours",), "local searches", lambda s: s.search.algorithm in LOCAL_SEARCHES),
)
