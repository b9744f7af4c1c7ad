"""Everything that a run is told: the dataclasses of its settings, checked before anything is loaded."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from cola_search.cluster_settings import ClusterSettings
from cola_search.combinations import check_combinations
from cola_search.errors import UserError
from cola_search.model.config import ModelConfig
from cola_search.model.engine_settings import EngineSettings
from cola_search.objective_settings import ObjectiveSettings
from cola_search.search_settings import SearchSettings
from cola_search.tasks.config import TaskConfig


@dataclass(frozen=True)
class PriorSettings:
    """Which layers are likely to be edited.

    kind: uniform (search.hazard and search.skip_share for every layer), voids (LAC), or learnt (from earlier records;
        make_search says what each search uses of it).
    alpha: voids: share of the range of the earlier layers' norm changes below which a layer is void.
    phase: voids: pp traces the tokens of the prompt, rg those that the model generates.
    floor: voids: share of the skips that stays uniform, so that no layer is ruled out.
    records: learnt: the record file to learn from, of the same model on other samples.
    strength: learnt: how many chains the uniform prior counts as.
    menu: learnt: how many of the chains that were worth most to earlier samples, of those that the base has right or of those
        that it has wrong, are tried first.
    """

    kind: Literal["uniform", "voids", "learnt"] = "uniform"
    alpha: float = 0.8
    phase: Literal["pp", "rg"] = "pp"
    floor: float = 0.1
    records: str | None = None
    strength: float = 20.0
    menu: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.strength < float("inf"):
            raise UserError(f"prior.strength={self.strength} must be a finite number above 0.")
        if self.menu < 0:
            raise UserError(f"prior.menu={self.menu} must not be negative; 0 leaves it out.")
        if not 0 < self.alpha <= 1:
            raise UserError(f"prior.alpha={self.alpha} must be above 0 and at most 1.")
        if not 0 <= self.floor <= 1:
            raise UserError(f"prior.floor={self.floor} must lie in 0 to 1.")
        if self.kind == "learnt" and not self.records:
            raise UserError("prior=learnt needs prior.records, the records.jsonl of an earlier run.")


@dataclass(frozen=True)
class VerifySettings:
    """What is scored again, alone, by stock transformers: none, best (and the base), or the whole Pareto front too."""

    scope: Literal["none", "best", "front"] = "front"


@dataclass(frozen=True)
class ControlSettings:
    """What every search is compared with.

    decoy: the same search sent after a wrong answer; a generated one is of the form of the right one, where the task has such.
    random: as many random chains.
    pass_at_k: that many answers of the untouched model, drawn at temperature 1.
    shuffle: the chain of a fixed item with the options in that many other orders, where the prompt lists them.
    transfer: the chain of an item on that many other items.
    undo_one_edit: the chain without each of its edits in turn.
    """

    decoy: bool = False
    random: bool = False
    pass_at_k: int = 0
    shuffle: int = 0
    transfer: int = 0
    undo_one_edit: bool = False

    def __post_init__(self) -> None:
        for key in ("pass_at_k", "shuffle", "transfer"):
            if getattr(self, key) < 0:
                raise UserError(f"controls.{key}={getattr(self, key)} must not be negative; 0 leaves it out.")


@dataclass(frozen=True)
class TrackingSettings:
    """Where the run is shown besides its folder.

    kind: none or wandb.
    project, entity, group, name: as Weights & Biases has them; null group: the sweep's folder, null name: the run's.
    mode: auto (what WANDB_MODE says, else online with a key, offline without), online or offline. There is never a login prompt.
    """

    kind: Literal["none", "wandb"] = "none"
    project: str = "cola-search"
    entity: str | None = None
    mode: Literal["auto", "online", "offline"] = "auto"
    group: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Settings:
    """Everything that a run is told.

    samples: how many items of the task, from its beginning; None for all of them.
    seed: with the id of a sample, the seed of that sample's search.
    run_dir: the folder of this run; what is in it already is not done again.
    """

    samples: int | None
    seed: int
    run_dir: str
    model: ModelConfig
    task: TaskConfig
    search: SearchSettings
    prior: PriorSettings
    engine: EngineSettings
    cluster: ClusterSettings
    verify: VerifySettings
    controls: ControlSettings
    tracking: TrackingSettings
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise UserError(f"samples={self.samples} must be at least 1, or null for all of the task.")
        if self.seed < 0:
            raise UserError(f"seed={self.seed} must not be negative.")
        if not self.run_dir.strip():
            raise UserError("run_dir is empty: name a folder.")
        check_combinations(self)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as config.yaml holds it."""
        return asdict(self)
