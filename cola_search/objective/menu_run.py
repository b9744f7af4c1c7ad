"""objective=menu: a few chains and a way to choose among their answers without labels; all choices made on calibration."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cola_search.chain import Chain
from cola_search.digests import hex_digits
from cola_search.errors import UserError
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel, load_model
from cola_search.objective.arms import (
    Arm,
    build_menus,
    choose_arm,
    cross_validate,
    held_out_table,
    make_arms,
    oracle_rows,
)
from cola_search.objective.board import scored_with
from cola_search.objective.candidates import race, searched
from cola_search.objective.head_cost import head_cost
from cola_search.objective.items import Items, split_items
from cola_search.objective.menu import generic_chains, menu_cost, solved_by
from cola_search.objective.option_table import OptionTable, Parts, score_table
from cola_search.objective_settings import ObjectiveSettings
from cola_search.prior_tables import of_this_model
from cola_search.records import Record, read_records
from cola_search.report.stats import wilson
from cola_search.run_folder import MENU, claim, git_commit, locked
from cola_search.scoring import ModelScorer
from cola_search.search_settings import SearchSettings
from cola_search.settings import Settings
from cola_search.shell import LastingConsole
from cola_search.tasks.sample import Sample
from cola_search.wheels import sha256_of
from cola_search.whole_file import write_whole

SHARES = (0.85, 1.0, 2.0)
"""Budgets of the table besides objective.budget: a shorter model, the model's own cost, and twice that."""


@dataclass(frozen=True)
class Study:
    """One model on one task: what is needed to choose a menu and to report on it. Tables are kept below `cache`."""

    model: LoadedModel
    items: Items
    objective: ObjectiveSettings
    search: SearchSettings
    engine: EngineSettings
    seed: int
    cache: Path

    def run(self, say: Callable[[str], None] = print) -> dict[str, Any]:
        """What menu.json holds; the held-out items are scored last and nothing is chosen on them."""
        scorer = ModelScorer(self.model, self.items.task, self.engine)
        if not scorer.engine.generates and self.items.held_out[0].choices is None:
            raise UserError(
                f"objective=menu chooses among options or generated answers; {self.items.task.name} has neither."
            )
        layers, objective = self.model.num_layers, self.objective
        shares = sorted({*SHARES, objective.budget})
        arms = make_arms(layers, shares, generated=scorer.engine.generates)
        cost = head_cost(scorer.engine.stock, [*self.items.search, *self.items.selection])
        calibration = self._kept(scorer, f"calibration-{self._key()}", partial(self._race, scorer, say), say)
        calibration = replace(calibration, head_cost=cost)
        say(
            f"{len(calibration.chains)} chains on {len(calibration)} calibration items; trying {len(arms)} arms on them"
        )
        judges = self._judges()
        crossed = cross_validate(calibration, arms, objective.menu_size, seed=self.seed, on=judges)
        menus = build_menus(calibration, arms, objective.menu_size)
        chains = list(dict.fromkeys([calibration.chains[0], *(chain for menu in menus.values() for chain in menu)]))
        say(f"scoring {len(chains)} chains on {len(self.items.held_out)} held-out items")
        held_out = self._kept(
            scorer,
            f"held_out-{self._key(chains)}",
            partial(score_table, scorer, self.items.held_out, chains, hidden=not scorer.engine.generates),
            say,
        )
        held_out = replace(held_out, head_cost=cost)
        rows = held_out_table(calibration, held_out, arms, crossed, objective.menu_size, objective.margin)
        oracle = oracle_rows(calibration, held_out, [share * layers for share in shares], objective.menu_size)
        choice = choose_arm(arms, crossed, objective.budget * layers, control=False)
        return {
            **self._facts(calibration, held_out),
            "cross_validated": {"items": len(judges), "unseen": len(judges) < len(calibration)},
            "rows": rows,
            "oracle": oracle,
            "layer_executions": round(calibration.layer_executions + held_out.layer_executions),
            "chosen": choice and self._chosen(choice, rows[arms.index(choice)], calibration),
        }

    def _judges(self) -> np.ndarray:
        """The places of the calibration items to cross-validate on: those that no chain was looked for on, if at least half.

        Chains that were found on an item with its gold answer look better there than elsewhere, and those that it was searched
        for in vain look worse; where most items were searched or in the first heat, all judge, and the accuracy on calibration
        is optimistic.
        """
        objective, samples = self.objective, [*self.items.search, *self.items.selection]
        seen = {sample.id for sample in samples[: objective.first]}
        if objective.records is None:
            seen |= {sample.id for sample in samples[: objective.searches]}
        else:
            seen |= {record.sample for record in _records_of(Path(objective.records), samples, self.model.num_layers)}
        unseen = [i for i, sample in enumerate(samples) if sample.id not in seen]
        return np.array(unseen if 2 * len(unseen) >= len(samples) else range(len(samples)), dtype=int)

    def _race(self, scorer: ModelScorer, say: Callable[[str], None], parts: Parts) -> OptionTable:
        objective, samples = self.objective, [*self.items.search, *self.items.selection]
        longest = int(max(1.0, objective.budget) * self.model.num_layers)
        if objective.records is not None:
            solved = recorded(Path(objective.records), samples, self.model.num_layers)
        else:
            say(f"searching {min(objective.searches, len(samples))} calibration items for candidates")
            solved = searched(scorer, samples[: objective.searches], self.search, self.seed, parts)
        more = generic_chains(solved, objective.candidates, longest)
        say(f"{len(more)} of {len(solved)} chains that solved an item go into the race")
        return race(
            scorer,
            samples,
            more,
            max_block=self.search.max_block,
            pairs=objective.candidates,
            first=objective.first,
            finalists=objective.finalists,
            longest=longest,
            parts=parts,
        )

    def _kept(
        self, scorer: ModelScorer, name: str, make: Callable[..., OptionTable], say: Callable[[str], None]
    ) -> OptionTable:
        """The table of that name with what was spent on it, out of the cache if it is there; made, its blocks are kept there."""
        path = self.cache / f"{name}.npz"
        if not path.exists():
            parts, before = Parts(self.cache / name, say), scorer.layer_executions
            table = make(parts=parts)
            replace(table, layer_executions=scorer.layer_executions - before + parts.found).save(path)
            shutil.rmtree(parts.folder)
        return OptionTable.load(path)

    def _key(self, chains: Sequence[Chain] = ()) -> str:
        """12 hex digits that change with anything that a table depends on, the content of objective.records included."""
        items = [
            [sample.id for sample in some] for some in (self.items.search, self.items.selection, self.items.held_out)
        ]
        about = (
            *scored_with(self.model, self.items.task, self.engine).values(),
            items,
            self.objective.records and sha256_of(Path(self.objective.records)),
        )
        text = repr((about, self.objective, self.search, self.seed, chains))
        return hex_digits(text, 12)

    def _facts(self, calibration: OptionTable, held_out: OptionTable) -> dict[str, Any]:
        right = held_out.right[:, 0]
        task = self.items.task
        return {
            "task": task.name,
            "model": self.model.name,
            "layers": self.model.num_layers,
            "seed": self.seed,
            "calibration": self.items.source,
            "counts": {"calibration": len(calibration), "held_out": len(held_out)},
            "chains": len(calibration.chains),
            "head_cost": round(calibration.head_cost, 3),
            "base": {**asdict(wilson(int(right.sum()), len(right))), "chance": task.chance, "majority": task.majority},
            "commit": git_commit(),
        }

    def _chosen(self, arm: Arm, row: dict[str, Any], calibration: OptionTable) -> dict[str, Any]:
        chains = [Chain.parse(text) for text in row["chains"]]
        covered = calibration.columns(chains).covered
        return {
            **asdict(arm),
            "chains": row["chains"],
            "menu_cost": round(menu_cost(chains, calibration.head_cost), 2),
            "coverage_oracle": asdict(wilson(int(covered.sum()), len(covered))),
        }


def recorded(path: Path, samples: Sequence[Sample], num_layers: int) -> dict[Chain, set[str]]:
    """By chain the calibration items that it solved in a record file; other items of the file are left out.

    Raises UserError if it is of another model, or if it holds no calibration item.
    """
    solved = solved_by(_records_of(path, samples, num_layers))
    if not solved:
        raise UserError(
            f"objective.records={path} holds no solved calibration item: search some with task.split=train, "
            "or leave it out so that they are searched here."
        )
    return solved


def _records_of(path: Path, samples: Sequence[Sample], num_layers: int) -> Iterator[Record]:
    """The records of these calibration items in a file. Raises UserError if there is none, or it is of another model."""
    check_records(path)
    # An id alone does not tell a split: items of two splits may both be called 0.
    known = {(sample.id, sample.question) for sample in samples}
    ours = (record for record in read_records(path) if (record.sample, record.question) in known)
    return of_this_model(ours, num_layers, f"objective.records={path}")


def check_records(path: Path) -> None:
    """Raises UserError if there is no such file."""
    if not path.is_file():
        raise UserError(
            f"objective.records={path} is not a file: name the records.jsonl of a run on calibration items."
        )


def run_menu(settings: Settings, command: str = "") -> dict[str, Any]:
    """Chooses a menu for the task, writes menu.json, and returns what is in it. It works in this process.

    What was searched and scored is kept in run_dir, and the same command goes on with it. Raises UserError for what the user
    can mend.
    """
    folder, say = Path(settings.run_dir), LastingConsole(stderr=True).print
    if settings.objective.records is not None:
        check_records(Path(settings.objective.records))
    with locked(folder):
        claim(folder, settings.as_dict(), command)
        model = load_model(settings.model)
        items = split_items(settings.objective, settings.task, model, settings.seed)
        study = Study(
            model, items, settings.objective, settings.search, settings.engine, settings.seed, folder / "tables"
        )
        result = study.run(lambda line: say(line, markup=False))
        write_whole(folder / MENU, json.dumps(result, indent=1) + "\n")
    return result
