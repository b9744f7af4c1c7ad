"""What comes out of the search of one sample, and the ledger of what was scored that every search keeps."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cola_search.chain import Chain


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer says of one (sample, chain).

    correct: the verdict of the task; the only thing that decides whether a chain is right.
    margin: log-probability of the target minus that of the best other; above 0 iff right by score; nan if none.
    prediction: index of the chosen option, or the extracted answer.
    error: why there is no verdict. An error is neither right nor wrong.
    near_tie: the margin is closer to 0 than what rounding can flip.
    """

    correct: bool
    margin: float
    prediction: int | str | None = None
    error: str | None = None
    near_tie: bool = False

    @property
    def right(self) -> bool:
        """True iff there is a verdict and it says correct."""
        return self.correct and self.error is None


@dataclass(frozen=True, slots=True)
class Milestone:
    """When something was first found: evaluations and layer executions spent until then, inclusive."""

    evaluations: int
    layer_executions: float


@dataclass(frozen=True)
class Outcome:
    """All that a search of one sample found.

    chains: every distinct chain scored, in order, with its score and the layer executions spent when it was told.
    front: the Pareto front over (correct, length), longest first; chains with an error are left out.
    candidates: the right chains in the order in which to verify them: by length, then margin.
    simulations: visits to the search space, with those that the memory of scored chains answered.
    evaluations: distinct chains scored, the identity chain included.
    first_fix: the first right chain where the base is wrong.
    first_shorter: the first right chain that is shorter than the identity chain.
    tree: rows (parent, chain index, visits, value), one a node in creation order; empty where there is no tree.
    """

    chains: list[tuple[Chain, Score, float]]
    front: list[tuple[Chain, Score]]
    candidates: list[tuple[Chain, Score]]
    simulations: int
    evaluations: int
    layer_executions: float
    first_fix: Milestone | None
    first_shorter: Milestone | None
    tree: list[tuple[int, int, int, float]]


@dataclass
class Ledger:
    """The ledger of one sample: every scored chain in order, what was spent, and when something was first found."""

    num_layers: int
    scores: dict[Chain, Score] = field(default_factory=dict)
    spent: list[float] = field(default_factory=list)
    simulations: int = 0
    layer_executions: float = 0.0
    shortest_right: int | None = None
    first_fix: Milestone | None = None
    first_shorter: Milestone | None = None

    @property
    def base(self) -> Score | None:
        """The score of the identity chain, which is always the first one asked; None before it is told."""
        return next(iter(self.scores.values()), None)

    def record(self, chains: Sequence[Chain], scores: Sequence[Score], layer_executions: float) -> None:
        """Enter one wave, which cost `layer_executions` in all."""
        self.layer_executions += layer_executions
        for chain, score in zip(chains, scores, strict=True):
            self.scores[chain] = score
            self.spent.append(self.layer_executions)
            if score.right:
                self._note_right(chain)

    def _note_right(self, chain: Chain) -> None:
        now = Milestone(len(self.scores), self.layer_executions)
        base = self.base
        if self.first_fix is None and base is not None and not base.right and base.error is None:
            self.first_fix = now
        if self.first_shorter is None and len(chain) < self.num_layers:
            self.first_shorter = now
        self.shortest_right = min(len(chain), self.shortest_right or len(chain))

    def outcome(self, tree: list[tuple[int, int, int, float]]) -> Outcome:
        """All that is in the ledger, with the rows of the tree."""
        return Outcome(
            chains=[
                (chain, score, spent) for (chain, score), spent in zip(self.scores.items(), self.spent, strict=True)
            ],
            front=pareto_front(self.scores),
            candidates=candidates(self.scores),
            simulations=self.simulations,
            evaluations=len(self.scores),
            layer_executions=self.layer_executions,
            first_fix=self.first_fix,
            first_shorter=self.first_shorter,
            tree=tree,
        )


def check_told(asked: Iterable[Chain], chains: Sequence[Chain], scores: Sequence[Score]) -> None:
    """Raises ValueError unless these are the chains that a search has asked for, in the same order, with a score each."""
    if list(chains) != list(asked) or len(scores) != len(chains):
        raise ValueError("tell() takes exactly the chains of the last ask(), in the same order, with one score each")


def final_order(chain: Chain, score: Score) -> tuple[int, float, Chain]:
    """The sort key of the final choice: the shorter chain, then the larger margin, then the lower layer indices."""
    return len(chain), math.inf if math.isnan(score.margin) else -score.margin, chain


def candidates(scores: dict[Chain, Score]) -> list[tuple[Chain, Score]]:
    """The right chains, best first (see final_order)."""
    right = [(chain, score) for chain, score in scores.items() if score.right]
    return sorted(right, key=lambda pair: final_order(*pair))


def pareto_front(scores: dict[Chain, Score]) -> list[tuple[Chain, Score]]:
    """The chains that no other chain beats in both correctness and length, longest first.

    One chain a point: the shortest right one, and the shortest wrong one if that is shorter still.
    """
    judged = [(chain, score) for chain, score in scores.items() if score.error is None]
    front = candidates(scores)[:1]
    wrong = [pair for pair in judged if not pair[1].correct and (not front or len(pair[0]) < len(front[0][0]))]
    return front + sorted(wrong, key=lambda pair: final_order(*pair))[:1]
