"""Static policies against a model whose layers are known, and against plain arithmetic."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from objective_fakes import LAYERS, items, view

from cola_search.chain import Chain
from cola_search.model.loading import LoadedModel
from cola_search.objective.policies import (
    greedy_removal,
    remove_block,
    remove_lowest,
    repeated_blocks,
    stream_facts,
    void_share,
)

TEXTS = ["The cat sat on the mat.", "A", "Layers that do nothing can go, others cannot.", "0123456789"]


def test_layers_go_in_the_order_of_their_scores_up_to_half_of_them() -> None:
    chains = remove_lowest(np.array([0.5, 0.1, 0.9, 0.1, 0.3, 0.8]))
    assert chains == [Chain([0, 1, 2, 4, 5]), Chain([0, 2, 4, 5]), Chain([0, 2, 5])]


def test_the_block_goes_over_which_the_stream_turns_least() -> None:
    angles = np.array([0.0, 0.4, 0.5, 0.55, 0.9])  # the stream on a circle: distances are differences
    distance = np.abs(angles[:, None] - angles)
    assert remove_block(distance) == [Chain([0, 1, 3]), Chain([0, 3])]


def test_every_block_is_repeated_once() -> None:
    chains = repeated_blocks(4)
    assert len(chains) == len(set(chains)) == 4 + 3 + 2 + 1
    assert Chain.parse("0 (1-2)x2 3") in chains


def stream_by_hand(model: LoadedModel, text: str) -> torch.Tensor:
    """The stream `[L + 1, T, d]` of a text alone: transformers norms the last state, so it is taken before that."""
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    states: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(
            lambda module, args, output: states.append(output[0] if isinstance(output, tuple) else output)
        )
        for layer in model.hf.model.layers
    ]
    with torch.inference_mode():
        embedded = model.hf.model.embed_tokens(ids)
        model.hf.model(input_ids=ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    return torch.cat([embedded, *states]).float()


def test_influence_and_distance_are_those_of_each_prompt_alone(tiny_model: LoadedModel) -> None:
    facts = stream_facts(tiny_model, TEXTS)
    streams = [stream_by_hand(tiny_model, text) for text in TEXTS]
    cosines = torch.cat([torch.cosine_similarity(s[:-1], s[1:], dim=-1) for s in streams], dim=1)
    np.testing.assert_allclose(facts.influence, 1 - cosines.mean(1), atol=1e-5)
    last = [torch.cosine_similarity(s[2, -1], s[5, -1], dim=0).arccos() / torch.pi for s in streams]
    assert facts.distance[2, 5] == pytest.approx(float(sum(last)) / len(last), abs=1e-4)
    assert facts.distance.shape == (7, 7)


def test_void_shares_are_over_all_tokens_of_all_prompts(tiny_model: LoadedModel) -> None:
    share = void_share(tiny_model, TEXTS)
    assert share.shape == (6,) and ((share >= 0) & (share <= 1)).all()
    tokens = sum(len(tiny_model.tokenizer(text)["input_ids"]) for text in TEXTS)
    assert np.allclose(share * tokens, np.round(share * tokens))


def test_greedy_removal_takes_the_layers_that_nobody_needs() -> None:
    seen = view(items(400, [0.5, 0.0, 0.4, 0.0, 0.5, 0.0, 0.3, 0.0]))
    chains = list(greedy_removal(seen, first=32))
    assert [len(chain) for chain in chains] == [7, 6, 5, 4]
    assert chains[-1] == Chain([0, 2, 4, 6])


def test_greedy_removal_ends_with_the_limit_and_does_not_pass_it() -> None:
    seen = view(items(400, [0.3] * LAYERS))
    seen.limit = 12_000
    assert 0 < len(list(greedy_removal(seen, first=32))) < 4
    assert seen.layer_executions <= 12_000


def test_facts_do_not_depend_on_what_shares_a_batch(tiny_model: LoadedModel) -> None:
    samples = [SimpleNamespace(id=str(i), requests=[SimpleNamespace(args=(text, " x"), request_type="loglikelihood")])
               for i, text in enumerate(TEXTS)]  # fmt: skip
    one = stream_facts(tiny_model, samples[:1])
    many = stream_facts(tiny_model, samples[:1] * 20)
    np.testing.assert_allclose(one.influence, many.influence, atol=1e-5)
