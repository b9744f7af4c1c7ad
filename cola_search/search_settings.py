"""The settings of a search, checked before anything is loaded."""

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin

from cola_search.errors import UserError

_AT_LEAST = {
    "simulations": 1,
    "wave": 1,
    "wave_ramp": 0,
    "c": 0,
    "temperature": 0,
    "length_penalty": 0,
    "widening": 0,
    "widening_exponent": 0,
    "cost_exponent": 0,
    "history": 0,
    "max_block": 1,
    "max_repeat_block": 1,
    "max_extra_runs": 1,
    "max_length": 1,
    "min_length": 1,
    "max_edits": 1,
    "improved_by": 1,
    "target_length": 1,
    "beam_width": 1,
    "neighbours": 1,
    "max_layer_executions": 1,
}
# What drllm_released cannot obey otherwise: the kinds of edit that its walk is made of (its random control draws the same
# ones), and the caps and the prior that it has none of.
_RELEASED = {
    "space": "edits",
    "hazard": 0.1,
    "skip_share": 0.85,
    "max_block": 2,
    "max_repeat_block": 1,
    "max_extra_runs": 1,
    "max_length": 2.0,
    "min_length": 1,
    "max_edits": None,
    "nested": True,
}
LOCAL_SEARCHES = ("hill_climbing", "greedy", "beam")
_SHARES = ("random_child", "hazard", "skip_share")


@dataclass(frozen=True)
class SearchSettings:
    """How one sample is searched. The defaults are those of conf/search/partial.yaml.

    algorithm: mcts, or a baseline: random, hill_climbing, greedy, beam, drllm_released.
    space: partial (chains built left to right) or edits (edits of the whole chain in any order).
    simulations: visits to the space, the identity chain and visits answered from memory included.
    max_layer_executions: stop once this many are spent; the last wave may pass it. None: no limit.
    wave: most chains asked for at once; wave_ramp: and at most this share of those scored so far, but at least 1.
    selection: puct or uct; c: its exploration constant.
    length_penalty: lambda of the papers, subtracted times length / num_layers in the selection score.
    visit_total: what ln V counts in uct: the visits of the parent, or all simulations so far (global).
    reward: lexicographic (first right, then short), margin, or binary; see rewards.py.
    backup: the best reward seen below a node, or the mean.
    temperature: 0: the untried move with the highest prior comes next; 1: one drawn by the prior; or between.
    widening, widening_exponent: at most ceil(widening * visits ** widening_exponent) children, exhausted ones too; 0: no limit.
    random_child: probability of trying a random untried move instead of the selected one, at each node.
    cost_exponent: a move's prior is divided by its layer executions to this power; 0: cost plays no part.
    history: a move's prior times the chance of a right answer, learnt from this search, to this power; 0: off. See history.py.
    hazard, skip_share: the uniform prior: probability that a layer is edited, and that the edit is a skip.
    max_block, max_repeat_block: largest block that one edit skips or repeats; None: repeats as large as skips.
    max_extra_runs: most runs that one repeat adds.
    max_length, min_length: caps of every chain: a multiple of the number of layers, and layers.
    max_edits: most edits of one chain; None: no limit.
    nested: whether an edit may touch what an earlier edit repeated (space=edits).
    stop: none, first_fix (a right chain), improved (a wrong base is fixed, or a right one shortened by improved_by).
    target_length: stop once a right chain has at most this many layers; None: no such stop.
    beam_width, neighbours: chains kept by beam, and edits of each tried in a round; None: greedy all, others a wave.
    """

    algorithm: Literal["mcts", "random", "hill_climbing", "greedy", "beam", "drllm_released"] = "mcts"
    space: Literal["partial", "edits"] = "partial"
    simulations: int = 100
    max_layer_executions: float | None = None
    wave: int = 16
    wave_ramp: float = 0.25
    selection: Literal["puct", "uct"] = "puct"
    c: float = 0.3
    length_penalty: float = 0.0
    visit_total: Literal["parent", "global"] = "parent"
    reward: Literal["lexicographic", "margin", "binary"] = "lexicographic"
    backup: Literal["best", "mean"] = "best"
    temperature: float = 0.0
    widening: float = 0.0
    widening_exponent: float = 0.5
    random_child: float = 0.0
    cost_exponent: float = 0.0
    history: float = 0.0
    hazard: float = 0.1
    skip_share: float = 0.85
    max_block: int = 4
    max_repeat_block: int | None = None
    max_extra_runs: int = 1
    max_length: float = 1.3
    min_length: int = 1
    max_edits: int | None = None
    nested: bool = True
    stop: Literal["none", "first_fix", "improved"] = "none"
    improved_by: int = 1
    target_length: int | None = None
    beam_width: int = 4
    neighbours: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            choices, value = get_args(field.type), getattr(self, field.name)
            if get_origin(field.type) is Literal and value not in choices:
                raise UserError(f"search.{field.name}={value!r} is not one of {', '.join(choices)}.")
        for key, least in _AT_LEAST.items():
            value = getattr(self, key)
            if value is not None and not (math.isfinite(value) and value >= least):
                raise UserError(f"search.{key}={value} must be a finite number of at least {least}.")
        for key in _SHARES:
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"search.{key}={getattr(self, key)} is a probability; it must lie in 0 to 1.")
        if self.hazard == 1:
            raise UserError("search.hazard=1 edits every layer; it must be below 1.")
        if self.algorithm in LOCAL_SEARCHES and self.space != "edits":
            raise UserError(
                f"search.space={self.space}: search.algorithm={self.algorithm} tries edits of the whole chain alone; "
                "set search.space=edits, or choose another search."
            )
        for key, value in _RELEASED.items() if self.algorithm == "drllm_released" else ():
            if getattr(self, key) != value:
                raise UserError(
                    f"search.{key}={getattr(self, key)}: the walk of search=drllm_released is {key}={value} whatever is set; "
                    "leave the key as that file has it, or choose another search."
                )

    def check_fits(self, num_layers: int) -> None:
        """Raises UserError if the caps leave no room for the identity chain of a model of num_layers layers."""
        if self.min_length > num_layers:
            raise UserError(
                f"search.min_length={self.min_length} is above the {num_layers} layers of the model: lower it."
            )

    def longest(self, num_layers: int) -> int:
        """The most positions that a chain may have, for a model of num_layers layers."""
        return longest_chain(self.max_length, num_layers)

    def wave_size(self, scored: int) -> int:
        """The most chains that the next wave may have once so many are scored."""
        return min(self.wave, max(1, int(self.wave_ramp * scored)))


def longest_chain(max_length: float, num_layers: int) -> int:
    """The most positions of a chain that may be so many times as long as a model of num_layers layers."""
    return int(max_length * num_layers + 1e-9)
