"""The controls that are no search: what the untouched model reaches by chance, and how far a found chain carries.

Each control draws from a generator of its own and begins with nothing computed, so that its counts and its cost follow from the
sample alone. Design section 7. Of the peers, PoLar samples the untouched model and RE-PoLar has a script for the order of options.
"""

import numpy as np

from cola_search.chain import Chain, undone_chains
from cola_search.errors import UserError
from cola_search.outcome import Score
from cola_search.records import Probe
from cola_search.scoring import ModelScorer, Scored, Work
from cola_search.seeding import PASS, SHUFFLE, TRANSFER, generator
from cola_search.settings import Settings
from cola_search.tasks.grading import GradingError
from cola_search.tasks.sample import Sample
from cola_search.tasks.shuffle import NotListed, orders, reorder
from cola_search.tasks.task import OTHERS, Task


class Probes:
    """Makes the controls that the settings ask for; keeps the base's verdicts on the items that chains are moved to."""

    def __init__(self, settings: Settings, scorer: ModelScorer, task: Task, num_layers: int) -> None:
        self.settings, self.scorer, self.task = settings, scorer, task
        self.identity = Chain.identity(num_layers)
        self._base: dict[str, Scored | None] = {}

    def of(self, sample: Sample, base_right: bool | None, best: Chain | None) -> dict[str, Probe]:
        """The controls of a sample by name; none where the base has no verdict, and pass_at_k alone without a chain."""
        wanted = self.settings.controls
        if base_right is None:
            return {}
        made = {}
        if wanted.pass_at_k:
            made["pass_at_k"] = self.pass_at_k(sample, wanted.pass_at_k)
        if best is None or best == self.identity:
            return made
        if wanted.shuffle and not base_right:
            made["shuffle"] = self.shuffle(sample, best, wanted.shuffle)
        if wanted.transfer:
            made["transfer"] = self.transfer(sample, best, wanted.transfer)
        if wanted.undo_one_edit:
            made["undo_one_edit"] = self.undo_one_edit(sample, best)
        return made

    def pass_at_k(self, sample: Sample, k: int) -> Probe:
        """Whether one of k answers of the untouched model, drawn at temperature 1, is right.

        Generated answers are drawn k times, and pass@k (arxiv.org/abs/2107.03374, section 2.1) with as many draws as k is
        whether any is right. Scored options are drawn from the softmax of their scores as the metric compares them, which
        needs no draws: 1 - (1 - p)^k, with p the probability of the right ones.
        """
        if self.task.kind == "generate_until":
            return self._generated(sample, k)
        responses = self.scorer.engine.stock.responses(sample, self.identity)
        scores = sample.option_scores(responses)
        p = softmax_share(scores, sample.golds) if scores is not None else float(np.exp(responses[0][0]))
        spent = float(len(self.identity) * len(sample.requests))
        return Probe(
            tries=k, right=round(k * p, 4), reached=round(1 - (1 - min(p, 1.0)) ** k, 4), layer_executions=spent
        )

    def _generated(self, sample: Sample, k: int) -> Probe:
        seed = int(generator(self.settings.seed, sample.id, PASS).integers(2**63))
        stock, verdicts = self.scorer.engine.stock, []
        texts = stock.sampled(sample, k, seed)
        written = sum(len(stock.lm.tok_encode(text)) for text in texts)
        for text in texts:
            try:
                verdicts.append(sample.verdict([text]))
            except GradingError:  # neither right nor wrong
                continue
        # a token that was written costs its share of a prompt, as in a search
        spent = len(self.identity) * (k + written / len(stock.encode(sample).contexts[0]))
        if not verdicts:
            return Probe(tries=0, right=0, refused="no answer could be graded", layer_executions=spent)
        return Probe(tries=len(verdicts), right=sum(verdicts), reached=float(any(verdicts)), layer_executions=spent)

    def shuffle(self, sample: Sample, chain: Chain, times: int) -> Probe:
        """The chain and the base on the item with its options in other orders; refused if the prompt does not list them."""
        rng = generator(self.settings.seed, sample.id, SHUFFLE)
        try:
            shuffled = [reorder(sample, order) for order in orders(sample.choices, times, rng)]
        except NotListed as reason:
            return Probe(tries=0, right=0, refused=str(reason))
        try:
            scored = self._score([(one, [self.identity, chain]) for one in shuffled])
        except UserError as error:
            return Probe(tries=0, right=0, refused=str(error))
        return _beside_base([(one.scores[0], one.scores[1]) for one in scored], _cost(scored))

    def transfer(self, sample: Sample, chain: Chain, times: int) -> Probe:
        """The chain and the base on other items of the task; what the base costs there counts each time that it is used."""
        rng = generator(self.settings.seed, sample.id, TRANSFER)
        others: list[tuple[Sample, Scored]] = []
        for position in rng.permutation(min(len(self.task), OTHERS)).tolist():
            if len(others) == times:
                break
            other = self.task[position]
            if other.id != sample.id and (base := self._base_of(other)) is not None:
                others.append((other, base))
        if not others:
            return Probe(tries=0, right=0, refused="there is no other item in the task")
        moved = self._score([(other, [chain]) for other, _ in others])
        pairs = [(base.scores[0], one.scores[0]) for (_, base), one in zip(others, moved, strict=True)]
        return _beside_base(pairs, _cost([base for _, base in others]) + _cost(moved))

    def undo_one_edit(self, sample: Sample, chain: Chain) -> Probe:
        """The chain with each of its edits undone in turn, and all others kept, on its own item; refused if it has but one."""
        others = undone_chains(chain, len(self.identity))
        if not others:
            return Probe(tries=0, right=0, refused="it has no two edits")
        (scored,) = self._score([(sample, others)])
        judged = [score.correct for score in scored.scores if score.error is None]
        return Probe(tries=len(judged), right=sum(judged), layer_executions=scored.layer_executions)

    def _base_of(self, sample: Sample) -> Scored | None:
        """The untouched model on an item, scored once a replica; None if it has no verdict there."""
        if sample.id not in self._base:
            try:
                (scored,) = self._score([(sample, [self.identity])])
            except UserError:  # an item that does not fit, which fails its own record and not this one
                self._base[sample.id] = None
            else:
                self._base[sample.id] = None if scored.scores[0].error else scored
        return self._base[sample.id]

    def _score(self, work: Work) -> list[Scored]:
        """The scores and what they cost when nothing was computed before."""
        for sample, _ in work:
            self.scorer.release(sample)
        try:
            return self.scorer.score_many(work)
        finally:
            for sample, _ in work:
                self.scorer.release(sample)


def softmax_share(scores: list[float], golds: tuple[int, ...]) -> float:
    """The share of the right options in the softmax [options] of the scores; 0 if no score is a finite number."""
    values = np.nan_to_num(np.array(scores), nan=-np.inf)
    if np.isneginf(values).all():
        return 0.0
    weights = np.exp(values - values.max())
    return float(weights[list(golds)].sum() / weights.sum())


def _beside_base(pairs: list[tuple[Score, Score]], layer_executions: float) -> Probe:
    """Counts of (base, chain) scores; pairs with an error are left out."""
    judged = [(base.correct, chain.correct) for base, chain in pairs if base.error is None and chain.error is None]
    return Probe(
        tries=len(judged),
        right=sum(chain for _, chain in judged),
        base_right=sum(base for base, _ in judged),
        layer_executions=layer_executions,
    )


def _cost(scored: list[Scored]) -> float:
    return sum(one.layer_executions for one in scored)
