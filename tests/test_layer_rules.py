"""Which position sees which in a layer."""

import torch
from families import tiny

from cola_search.model.anatomy import Anatomy
from cola_search.model.layer_rules import KEPT_LENGTHS, LayerRules


def test_a_sliding_window_is_seen_as_the_family_defines_it() -> None:
    model = tiny("mistral")
    (rule,) = {id(rule): rule for rule in LayerRules(Anatomy(model)).of(40)}.values()
    at = torch.arange(40)
    behind = at[:, None] - at
    assert rule is not None
    assert torch.equal(rule[:40, :40], (behind >= 0) & (behind < model.config.sliding_window))


def test_rules_of_the_last_lengths_alone_are_kept_and_learnt_again_as_they_were() -> None:
    rules = LayerRules(Anatomy(tiny("mistral")))
    first = rules.of(64)
    for steps in range(2, 3 + KEPT_LENGTHS):
        rules.of(64 * steps)
    assert len(rules._known) == KEPT_LENGTHS
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(first, rules.of(64), strict=True))
