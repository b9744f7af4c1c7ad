"""What is known of chains on an ordered list of items: scored when it is asked for, and kept in a file."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from cola_search.chain import Chain
from cola_search.digests import hex_digits
from cola_search.errors import FolderRefused
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel
from cola_search.objective.charges import Charges
from cola_search.objective.paired import Paired, pair
from cola_search.outcome import Score
from cola_search.scoring import Scorer
from cola_search.tasks.task import Task

WRONG, RIGHT, ERROR = "0", "1", "e"
CHUNK = 256  # items after which what is known is written down
LARGEST = 1e9  # nats; an infinite margin counts as this, for JSON has no infinity


@dataclass
class Known:
    """What is known of one chain: of the first so many items verdict, margin, and the layer executions spent on it."""

    verdicts: str = ""
    margins: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def add(self, score: Score, cost: float) -> None:
        """Enters the next item, in the digits in which the file keeps it, so that a resumed run sees the same."""
        self.verdicts += ERROR if score.error is not None else RIGHT if score.correct else WRONG
        self.margins.append(min(max(float(f"{score.margin:.4g}"), -LARGEST), LARGEST))  # nan stays
        self.costs.append(round(cost, 2))


class Board:
    """The scores of chains on an ordered list of items. A chain is scored on the first so many of them, so that any two chains can
    be compared on the same items.

    Items are never released: to open one takes as long as to score several chains, so the scorer keeps as many as it has room
    for (engine.samples_in_flight; best all of them). What is charged does not depend on that, but only on the order in which
    this board was asked (charges.py), so that a run that goes on charges what an undisturbed one does.

    path: where to keep them; a file that is there already is read, and refused with FolderRefused if it is damaged, of other
    items, or differs in what scores depend on (`about`: model, prompts, metric, engine).
    """

    def __init__(
        self, scorer: Scorer, samples: Sequence[Any], path: Path | None = None, about: Mapping[str, Any] | None = None
    ) -> None:
        self.samples = samples
        self._scorer = scorer
        self._path = path
        self._known: dict[Chain, Known] = {}
        self._charges = Charges()
        ids = hex_digits("\n".join(sample.id for sample in samples), 16)
        if path is not None:
            self._read(path, {**(about or {}), "items": len(samples), "ids": ids})

    def __len__(self) -> int:
        return len(self.samples)

    def known(self, chain: Chain) -> Known:
        """What is known of a chain; empty for one that was never asked for."""
        return self._known.setdefault(chain, Known())

    def fill(self, chains: Sequence[Chain], upto: int) -> None:
        """Scores the chains on the first `upto` items where that is missing: all chains of an item in one call."""
        chains = list(dict.fromkeys(chains))
        for start in range(0, upto, CHUNK):
            stop = min(start + CHUNK, upto)
            before = {chain: len(self.known(chain).verdicts) for chain in chains}
            lacking = [chain for chain in chains if before[chain] < stop]
            self._score({chain: before[chain] for chain in lacking}, start, stop)
            self._write({chain: before[chain] for chain in lacking})

    def _score(self, firsts: Mapping[Chain, int], start: int, stop: int) -> None:
        """Scores each chain from its first item on, as far as that lies between `start` and `stop`."""
        asked = [(i, [chain for chain, first in firsts.items() if first <= i]) for i in range(start, stop)]
        wanted = [(i, chains) for i, chains in asked if chains]
        priced = self._scorer.price_many([(self.samples[i], chains) for i, chains in wanted])
        charged = self._charges.charge(firsts, start, stop)
        for (i, chains), (scores, cost, shared) in zip(wanted, priced, strict=True):
            cost += 0.0 if shared is None else float(charged[i - start]) - shared
            share = cost / sum(map(len, chains))  # what chains share is charged to each by its length
            for chain, score in zip(chains, scores, strict=True):
                self.known(chain).add(score, share * len(chain))

    def _write(self, before: Mapping[Chain, int]) -> None:
        """In one line, for a crash must not leave some of the chains that were charged together."""
        if self._path is None or not before:
            return
        rows = []
        for chain, start in before.items():
            known = self.known(chain)
            row = {"chain": str(chain), "from": start, "verdicts": known.verdicts[start:]}
            margins = [None if math.isnan(margin) else margin for margin in known.margins[start:]]
            rows.append(row | {"margins": margins, "costs": known.costs[start:]})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows, allow_nan=False) + "\n")

    def _read(self, path: Path, about: Mapping[str, Any]) -> None:
        """Takes in the file, without a last line that a crash tore; begins it where no line is whole."""
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            path.write_bytes(whole)
        for number, line in enumerate(whole.splitlines(keepends=True), start=1):
            try:
                content = json.loads(line)
                if number > 1:
                    self._take(content)
            except (ValueError, KeyError, TypeError) as error:
                raise FolderRefused(
                    f"run_dir: line {number} of {path} is damaged ({type(error).__name__}): remove it and all lines after it, "
                    "which are then scored again, or choose another run_dir."
                ) from error
            if number == 1:
                _refuse_other(path, content, about)
        if not whole:
            path.write_text(json.dumps(about) + "\n", encoding="utf-8")
        for chain, known in self._known.items():
            self._charges.charge({chain: len(known.verdicts)}, len(known.verdicts), len(known.verdicts))

    def _take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes in a line of the file. Raises ValueError where it does not go on from what is known."""
        for row in rows:
            known = self.known(Chain.parse(row["chain"]))
            if not row["from"] == len(known.verdicts) == len(known.margins) == len(known.costs):
                raise ValueError("a line is missing")
            known.verdicts += row["verdicts"]
            known.margins += [math.nan if margin is None else margin for margin in row["margins"]]
            known.costs += row["costs"]


def scored_with(model: LoadedModel, task: Task, engine: EngineSettings) -> dict[str, Any]:
    """What scores depend on besides chains and items: the `about` of a board, and of a menu's tables."""
    return {
        "model": model.name,
        "revision": str(model.revision),
        "dtype": str(model.dtype),
        "device": model.device.type,
        "model.attn": model.config.attn,
        "engine.mode": engine.mode,
        "engine.mix_samples": engine.mix_samples,
        "prompt_hash": task.prompt_hash,
        "task.metric": str(task.metric),
    }


def _refuse_other(path: Path, there: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Raises FolderRefused, naming what differs, if a file is about something else."""
    other = [key for key in {**there, **about} if there.get(key) != about.get(key)]
    if other:
        raise FolderRefused(f"run_dir: {path} is of another {', '.join(other)}: choose another run_dir.")


class View:
    """A board as one method sees it, with what it looked at, whoever had it scored first.

    evaluations: (chain, item) pairs. layer_executions: what scoring them cost when they were first scored. That depends on
    what the board had scored before, whose prefixes are kept: alone, the method might have spent a little more or less.
    limit: layer executions that `within` keeps to. exhausted: whether it has turned a chain away for that.
    """

    def __init__(self, board: Board, base: Chain, limit: float = math.inf) -> None:
        self.board, self.base, self.limit = board, base, limit
        self.exhausted = False
        self.evaluations = 0
        self.layer_executions = 0.0
        self._seen: dict[Chain, int] = {}

    def __len__(self) -> int:
        return len(self.board)

    def see(self, chains: Sequence[Chain], upto: int) -> None:
        """Looks at the first `upto` items of the chains, and of the base, which everything is compared with."""
        upto = min(upto, len(self))
        self.board.fill([self.base, *chains], upto)
        for chain in dict.fromkeys([self.base, *chains]):
            seen = self._seen.get(chain, 0)
            if upto > seen:
                self.evaluations += upto - seen
                self.layer_executions += sum(self.board.known(chain).costs[seen:upto])
                self._seen[chain] = upto

    def within(self, chains: Sequence[Chain], upto: int, reserve: float = 0.0) -> list[Chain]:
        """Looks like `see` at the chains in their order, while the limit lets it and leaves `reserve`; those looked at.

        In batches that fit even if every layer of every chain has to run: what they share makes room for the next one.
        """
        seen: list[Chain] = []
        rest = list(dict.fromkeys(chains))
        while rest:
            left = self.limit - reserve - self.layer_executions - self.price([self.base], upto)
            fitting = sum(total <= left for total in accumulate(self.price([chain], upto) for chain in rest))
            if not fitting:
                self.exhausted = True
                break
            self.see(rest[:fitting], upto)
            seen, rest = seen + rest[:fitting], rest[fitting:]
        return seen

    def price(self, chains: Sequence[Chain], upto: int, start: int = 0) -> float:
        """Layer executions that looking at the chains from item `start` to `upto` costs if they share nothing."""
        costs = self.board.known(self.base).costs[: self.seen(self.base)]
        # Answers that are generated, and requests that run one at a time, cost more than one layer a layer.
        rate = max(1.0, sum(costs) / len(costs) / len(self.base)) if costs else 1.0
        upto = min(upto, len(self))
        return rate * sum(len(chain) * max(0, upto - max(start, self.seen(chain))) for chain in chains)

    def seen(self, chain: Chain) -> int:
        """How many items of the chain were looked at."""
        return self._seen.get(chain, 0)

    def judged(self, chain: Chain) -> int:
        """On how many items of those seen the chain has a verdict: an error is none."""
        upto = self.seen(chain)
        return upto - self.board.known(chain).verdicts[:upto].count(ERROR)

    def finished(self) -> list[Chain]:
        """The chains that were looked at on all items, without the base."""
        return [chain for chain, seen in self._seen.items() if seen == len(self) and chain != self.base]

    def compare(self, chain: Chain, rival: Chain | None = None) -> Paired:
        """The chain against another (None: the base) on the items seen of both; items where either failed are left out."""
        rival = self.base if rival is None else rival
        upto = min(self.seen(chain), self.seen(rival))
        verdicts = zip(self.board.known(rival).verdicts[:upto], self.board.known(chain).verdicts[:upto], strict=True)
        judged = [(theirs == RIGHT, mine == RIGHT) for theirs, mine in verdicts if ERROR not in (theirs, mine)]
        return pair([theirs for theirs, _ in judged], [mine for _, mine in judged])

    def merit(self, chain: Chain) -> float:
        """Mean over the items seen of sigmoid(margin / scale), a smooth accuracy; by verdict where there is no margin.

        Items on which the chain failed are left out; 0 if none is left. The scale is the base's median absolute margin, so
        that tasks with other metrics compare alike.
        """
        upto, known = self.seen(chain), self.board.known(chain)
        verdicts = np.array(list(known.verdicts[:upto]), dtype="<U1")
        margins, right = np.array(known.margins[:upto])[verdicts != ERROR], verdicts[verdicts != ERROR] == RIGHT
        smooth = 1 / (1 + np.exp(-np.clip(margins / self._scale(), -50, 50)))
        return float(np.where(np.isnan(margins), right, smooth).mean()) if len(right) else 0.0

    def _scale(self) -> float:
        # Of the items that this view has seen, so that no ranking depends on what other methods looked at before.
        margins = np.abs(np.array(self.board.known(self.base).margins[: self.seen(self.base)]))
        margins = margins[margins < LARGEST]  # which nan is not either
        scale = float(np.median(margins)) if len(margins) else 1.0
        return scale if scale > 0 else 1.0
