"""What every chain of a list says of every option of every item: the table that menus and selectors are chosen from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from cola_search.chain import Chain
from cola_search.digests import hex_digits
from cola_search.errors import UserError
from cola_search.model.answers import Answer
from cola_search.scoring import ModelScorer, Work
from cola_search.tasks.grading import GradingError
from cola_search.tasks.sample import Sample

FLOOR = -1e4  # nats: what a score that is not a finite number counts as
BLOCK = 4_000  # evaluations that a run which is stopped may lose


@dataclass(frozen=True, eq=False)
class OptionTable:
    """Scores of options, as the task's metric compares them, by item and chain.

    chains: K of them. ids: the N items.
    scores: [N, K, O] in nats, nan beyond an item's last option.
    golds: bool [N, O], the right options; only what is fitted on calibration items, and the final count, may read it.
    sizes: [N, O] bytes of each option's text, at least 1.
    hidden: [N, d] the base's last hidden state at the end of the prompt, or None.
    head_cost: layer executions that it is worth to read one more chain's answer; not in the file (see head_cost.py).
    layer_executions: what it cost to come by the table in the file, of which this may be a part.
    """

    chains: tuple[Chain, ...]
    ids: tuple[str, ...]
    scores: np.ndarray
    golds: np.ndarray
    sizes: np.ndarray
    hidden: np.ndarray | None = None
    head_cost: float = 0.0
    layer_executions: float = 0.0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def valid(self) -> np.ndarray:
        """Bool [N, O]: which options exist."""
        return ~np.isnan(self.scores).all(axis=1)

    @property
    def log_probs(self) -> np.ndarray:
        """[N, K, O]: each chain's scores as log-probabilities over the item's options; -inf where there is no option."""
        floored = np.where(np.isfinite(self.scores), self.scores, FLOOR)
        return log_softmax(np.where(self.valid[:, None], floored, -np.inf))

    @property
    def right(self) -> np.ndarray:
        """Bool [N, K]: whether the chain's best option is right; an item of which it says nothing is wrong."""
        right: np.ndarray = np.take_along_axis(self.golds, self.log_probs.argmax(axis=2), axis=1)
        return right & self.answered

    @property
    def answered(self) -> np.ndarray:
        """Bool [N, K]: whether the chain gives some option a score; where it does not, its first one is no answer."""
        answered: np.ndarray = (np.isfinite(self.scores) & (self.scores != FLOOR)).any(axis=2)
        return answered

    @property
    def covered(self) -> np.ndarray:
        """Bool [N]: whether some chain is right, which takes the answer key to know: an oracle."""
        some: np.ndarray = np.logical_or.reduce(self.right, axis=1)
        return some

    def columns(self, chains: Sequence[Chain]) -> Self:
        """The table of these chains only, in this order."""
        where = {chain: k for k, chain in enumerate(self.chains)}
        return replace(self, chains=tuple(chains), scores=self.scores[:, [where[chain] for chain in chains]])

    def beside(self, other: Self) -> Self:
        """This table with the chains of another one, on the same items, after its own."""
        return replace(
            self, chains=(*self.chains, *other.chains), scores=np.concatenate([self.scores, other.scores], axis=1)
        )

    def rows(self, index: np.ndarray) -> Self:
        """The table of the items at these places."""
        ids = tuple(self.ids[int(i)] for i in index)
        hidden = None if self.hidden is None else self.hidden[index]
        return replace(
            self, ids=ids, scores=self.scores[index], golds=self.golds[index], sizes=self.sizes[index], hidden=hidden
        )

    def save(self, path: Path) -> None:
        """Writes the table in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = np.zeros((len(self), 0)) if self.hidden is None else self.hidden
        part = path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            chains=np.array([str(chain) for chain in self.chains]),
            ids=np.array(self.ids),
            scores=self.scores,
            golds=self.golds,
            sizes=self.sizes,
            hidden=hidden,
            layer_executions=self.layer_executions,
        )
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The table that `save` wrote."""
        with np.load(path) as data:
            chains, ids = tuple(Chain.parse(str(text)) for text in data["chains"]), tuple(map(str, data["ids"]))
            hidden = data["hidden"] if data["hidden"].shape[1] else None
            cost = float(data["layer_executions"])
            return cls(chains, ids, data["scores"], data["golds"], data["sizes"], hidden, layer_executions=cost)


def log_softmax(values: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis; -inf stays -inf."""
    shifted = values - values.max(axis=-1, keepdims=True)
    normalised: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


class Options(NamedTuple):
    """One item: scores [K, O] in nats, golds bool [O] and sizes in bytes [O] (see OptionTable)."""

    scores: np.ndarray
    golds: np.ndarray
    sizes: np.ndarray


def option_scores(scorer: ModelScorer, work: Work) -> list[Options]:
    """The scores of every option by every chain, for each entry of the work.

    Of a generated task the options are the distinct answers that its chains give: 0 for a chain's own, FLOOR for others.
    As many samples as may be in flight share batches; nothing is kept between calls.
    """
    found: list[Options] = []
    size = scorer.settings.samples_in_flight
    for start in range(0, len(work), size):
        part = work[start : start + size]
        sessions = [scorer.engine.open(sample) for sample, _ in part]
        try:
            answers = scorer.engine.answer([(s, list(chains)) for s, (_, chains) in zip(sessions, part, strict=True)])
        finally:
            for session in sessions:
                scorer.engine.close(session)
        read = _texts if scorer.engine.generates else _options
        found += [read(sample, some) for (sample, _), some in zip(part, answers, strict=True)]
    return found


def _options(sample: Sample, answers: Sequence[Answer]) -> Options:
    rows = [sample.option_scores(answer.responses) for answer in answers]
    if sample.choices is None or rows[0] is None:
        raise UserError(f"objective=menu needs options or generated answers, and item {sample.id} has neither.")
    # An option that a chain cannot score keeps its place: nan would say that there is no such option.
    scores = np.nan_to_num(np.array(rows, dtype=np.float64), nan=FLOOR, neginf=FLOOR)
    golds = np.isin(np.arange(scores.shape[1]), sample.golds)
    return Options(scores, golds, np.array([max(1, len(choice.encode())) for choice in sample.choices], dtype=float))


def _texts(sample: Sample, answers: Sequence[Answer]) -> Options:
    given = [str(sample.prediction(answer.responses)) for answer in answers]
    distinct = list(dict.fromkeys(given))
    scores = np.where(np.array(given)[:, None] == np.array(distinct)[None], 0.0, FLOOR)
    golds = np.array([_is_right(sample, answers[given.index(text)]) for text in distinct])
    return Options(scores, golds, np.array([max(1, len(text.encode())) for text in distinct], dtype=float))


def _is_right(sample: Sample, answer: Answer) -> bool:
    try:
        return sample.verdict(answer.responses)
    except GradingError:  # an answer that the grader cannot read is not shown to be right
        return False


def base_hidden(scorer: ModelScorer, samples: Sequence[Sample]) -> np.ndarray | None:
    """The untouched model's last hidden state [N, d] at the end of each prompt; None where chains run one at a time."""
    engine = scorer.engine
    if engine.batched is None:
        return None
    executor, identity, rows = engine.batched.executor, tuple(range(engine.model.num_layers)), []
    for sample in samples:
        # the prompt alone: an option behind it may go to where the model changes its rotary frequencies
        prompt = engine.stock.encode(sample).contexts[0]
        item = executor.open([prompt], [[len(prompt) - 1]])
        try:
            ((state,),) = executor.run([(item, [identity])])[0]
        finally:
            executor.close(item)
        rows.append(state.float().cpu().numpy())
    return np.stack(rows)


@dataclass
class Parts:
    """Where the blocks of an unfinished table, and what was searched for it, are kept, so that a stopped run can go on.

    folder: one for all tables that depend on the same settings. say: is told how far a table is.
    found: layer executions that earlier processes spent on the blocks that were found there.
    """

    folder: Path
    say: Callable[[str], None]
    found: float = 0.0

    def path(self, about: object, suffix: str) -> Path:
        """Where what is made of `about`, besides what the folder depends on, is kept."""
        return self.folder / f"{hex_digits(repr(about), 16)}{suffix}"

    def block(
        self, scorer: ModelScorer, samples: Sequence[Sample], chains: Sequence[Chain], hidden: bool
    ) -> OptionTable:
        """The table of a block of samples, out of the folder if it is there."""
        path = self.path(([sample.id for sample in samples], list(map(str, chains)), hidden), ".npz")
        if path.exists():
            table = OptionTable.load(path)
            self.found += table.layer_executions
            return table
        before, table = scorer.layer_executions, _block(scorer, samples, chains, hidden)
        replace(table, layer_executions=scorer.layer_executions - before).save(path)
        return table


def block_size(evaluations: int) -> int:
    """The items of a block, if each takes so many evaluations."""
    return max(1, BLOCK // evaluations)


def score_table(
    scorer: ModelScorer,
    samples: Sequence[Sample],
    chains: Sequence[Chain],
    *,
    hidden: bool = False,
    parts: Parts | None = None,
) -> OptionTable:
    """The table of these chains on these samples; `hidden` adds the base's hidden states. With `parts` it goes on there."""
    block = _block if parts is None else parts.block
    tables, size = [], block_size(len(chains))
    for start in range(0, len(samples), size):
        tables.append(block(scorer, samples[start : start + size], chains, hidden))
        if parts is not None and start + size < len(samples):
            parts.say(f"{start + size} of {len(samples)} items scored with {len(chains)} chains")
    return stacked(tables)


def _block(scorer: ModelScorer, samples: Sequence[Sample], chains: Sequence[Chain], hidden: bool) -> OptionTable:
    found = option_scores(scorer, [(sample, chains) for sample in samples])
    tables = [
        OptionTable(tuple(chains), (sample.id,), one.scores[None], one.golds[None], one.sizes[None])
        for sample, one in zip(samples, found, strict=True)
    ]
    return replace(stacked(tables), hidden=base_hidden(scorer, samples) if hidden else None)


def stacked(tables: Sequence[OptionTable]) -> OptionTable:
    """The items of several tables of the same chains in one, as wide as the widest."""
    width = max(table.golds.shape[1] for table in tables)

    def joined(arrays: Sequence[np.ndarray], fill: float) -> np.ndarray:
        gaps = [[(0, 0)] * (array.ndim - 1) + [(0, width - array.shape[-1])] for array in arrays]
        padded = [np.pad(array, gap, constant_values=fill) for array, gap in zip(arrays, gaps, strict=True)]
        return np.concatenate(padded)

    states = [table.hidden for table in tables if table.hidden is not None]
    return replace(
        tables[0],
        ids=tuple(name for table in tables for name in table.ids),
        scores=joined([table.scores for table in tables], np.nan),
        golds=joined([table.golds for table in tables], False),
        sizes=joined([table.sizes for table in tables], 1.0),
        hidden=np.concatenate(states) if states else None,
        layer_executions=sum(table.layer_executions for table in tables),
    )
