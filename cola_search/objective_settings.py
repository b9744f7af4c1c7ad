"""What chains are searched for: the `objective` group of the configuration."""

from dataclasses import dataclass
from typing import Literal

from cola_search.errors import UserError


@dataclass(frozen=True)
class ObjectiveSettings:
    """What chains are searched for: for each sample its own (sample), or one for a whole set of them (dataset).

    kind: sample, dataset, or menu (a few chains, one of which is chosen for each new item).
    goal: dataset: shorter (as short as not worse than the base allows) or better (shown to be more accurate, and no longer).
    items: calibration items at most, drawn by the seed; null for all there are.
    split: where they come from; null: train, or where there is none those of the task's split that are not held out.
    selection: share of the calibration items that the search does not see, on which the choice is made.
    held_out: items of the task, from its beginning, on which what was chosen is scored once; null for all.
    margin: how much lower an accuracy may be and still count as not worse.
    first: items after which a chain that is worse is dropped for the first time; then after twice as many, and so on.
    baselines: dataset: whether static policies, greedy removal and random chains are tried too, each with what the
        tree's search spends at most; choosing among what was found comes on top.
    export: dataset: whether the chosen chain is written out as a checkpoint below run_dir.
    budget: menu: layer executions that an item may cost, as a multiple of the model's layers; prefixes are shared, and
        every read of the head but one counts as what its arithmetic is worth in layers.
    menu_size: menu: chains of a menu at most.
    searches: menu: calibration items that are searched for candidates, as `search` says.
    records: menu: a record file of earlier searches on calibration items, instead.
    candidates: menu: chains out of the searches, and as many pairs of edits, that enter the race besides single edits.
    finalists: menu: chains that are scored on all calibration items.
    """

    kind: Literal["sample", "dataset", "menu"] = "sample"
    goal: Literal["shorter", "better"] = "shorter"
    items: int | None = 4000
    split: str | None = None
    selection: float = 0.5
    held_out: int | None = 1000
    margin: float = 0.02
    first: int = 32
    baselines: bool = True
    export: bool = False
    budget: float = 1.0
    menu_size: int = 5
    searches: int = 100
    records: str | None = None
    candidates: int = 200
    finalists: int = 60

    def __post_init__(self) -> None:
        if self.kind == "menu" and (self.export or self.goal != "shorter"):
            key = "export=true" if self.export else f"goal={self.goal}"
            raise UserError(f"objective.{key} is not for objective=menu: leave it out, or take objective=dataset.")
        for key, least in (("items", 4), ("held_out", 1), ("first", 1)):
            if (value := getattr(self, key)) is not None and value < least:
                raise UserError(f"objective.{key}={value} must be at least {least}.")
        for key, least in (("menu_size", 1), ("searches", 0), ("candidates", 0), ("finalists", 1)):
            if getattr(self, key) < least:
                raise UserError(f"objective.{key}={getattr(self, key)} must be at least {least}.")
        if not 0 < self.budget <= 10:
            raise UserError(
                f"objective.budget={self.budget} is a multiple of the model's layers, above 0 and at most 10."
            )
        if not 0 < self.selection < 1:
            raise UserError(f"objective.selection={self.selection} is a share; it must lie between 0 and 1.")
        if not 0 < self.margin < 1:
            raise UserError(f"objective.margin={self.margin} must lie between 0 and 1; 0.02 is two points.")
