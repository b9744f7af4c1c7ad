"""Chains inside stock transformers models: tiny ones of every family, and the two real ones."""

import math
from collections.abc import Iterator

import pytest
import torch
from families import FAMILIES, cached_logits, tiny, tiny_with_images, unrolled
from transformers import (
    AutoConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from cola_search.chain import Chain
from cola_search.errors import UserError
from cola_search.model import surgery
from cola_search.model.caches import cache_name
from cola_search.model.config import model_config, with_overrides
from cola_search.model.loading import LoadedModel, load_model
from cola_search.model.surgery import apply_chain, find_layers, self_check

EDITS = {"repeat": [0, 1, 1, 2, 3], "skip_first": [1, 2, 3], "loop": [0, 1, 2, 1, 2, 3]}
PROMPT = "The three largest cities of France are"


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def llama() -> PreTrainedModel:
    return tiny("llama")


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(3, 99, (2, 12), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_chains_as_a_physically_unrolled_copy_does(family: str, tokens: torch.Tensor) -> None:
    model = tiny(family)
    untouched = model(tokens, use_cache=False).logits
    for chain in EDITS.values():
        expected = unrolled(model, chain)(tokens, use_cache=False).logits
        with apply_chain(model, chain):
            assert torch.equal(model(tokens, use_cache=False).logits, expected)
            torch.testing.assert_close(cached_logits(model, tokens), expected, atol=2e-4, rtol=0)
        assert (expected - untouched).abs().max() > 0.05, "the edit shows"
    assert torch.equal(model(tokens, use_cache=False).logits, untouched)
    assert self_check(model) < 1e-3


def test_the_identity_chain_is_bit_equal_to_the_untouched_model(llama: PreTrainedModel, tokens: torch.Tensor) -> None:
    expected = cached_logits(llama, tokens)
    with apply_chain(llama, range(4)):
        assert torch.equal(cached_logits(llama, tokens), expected)


def test_copies_share_parameter_storage_and_differ_in_their_cache_slot(llama: PreTrainedModel) -> None:
    layers = find_layers(llama)[1]
    with apply_chain(llama, [2, 2, 0]):
        copies = list(find_layers(llama)[1])
    assert [copy.self_attn.layer_idx for copy in copies] == [0, 1, 2]
    for copy, layer in zip(copies, [2, 2, 0], strict=True):
        for ours, theirs in zip(copy.parameters(), layers[layer].parameters(), strict=True):
            assert ours is theirs
    assert [layer.self_attn.layer_idx for layer in layers] == [0, 1, 2, 3]


def test_the_model_is_untouched_after_an_exception(llama: PreTrainedModel, tokens: torch.Tensor) -> None:
    layers, config, expected = llama.model.layers, llama.config.to_dict(), llama(tokens).logits
    with pytest.raises(RuntimeError, match="inside"), apply_chain(llama, [3, 3]):
        raise RuntimeError("inside")
    assert llama.model.layers is layers
    assert llama.config.to_dict() == config
    assert torch.equal(llama(tokens).logits, expected)


def test_layer_types_follow_the_chain_and_come_back() -> None:
    model = tiny("gemma2")
    before = list(model.config.layer_types)
    with apply_chain(model, [1, 1, 3]):
        assert model.config.layer_types == [before[1], before[1], before[3]]
        assert model.config.num_hidden_layers == 3
    assert model.config.layer_types == before
    assert model.config.num_hidden_layers == 4


def test_lists_of_a_config_follow_the_chain_if_name_and_length_say_so() -> None:
    config = LlamaConfig(num_hidden_layers=4)
    lists = {
        "no_rope_layers": [1, 2, 3, 4],
        "mlp_only_layers": [1, 3],  # of indices
        "draft_layers": [0, 2],  # as long as something else
        "multipliers": [1, 2, 3, 4],  # as long by accident
    }
    for name, value in lists.items():
        setattr(config, name, value)
    assert surgery.per_layer_values(config, [3, 1, 1], 4) == {
        "num_hidden_layers": 3,
        "no_rope_layers": [4, 2, 2],
        "mlp_only_layers": [0, 1, 2],
    }


def test_a_chain_of_a_model_that_sees_is_told_to_the_config_of_its_layers_alone(tokens: torch.Tensor) -> None:
    model = tiny_with_images()
    before = model.config.to_dict()
    with apply_chain(model, EDITS["loop"]):
        assert model.config.text_config.num_hidden_layers == 6
        assert not hasattr(model.config, "num_hidden_layers")
        torch.testing.assert_close(
            cached_logits(model, tokens), model(tokens, use_cache=False).logits, atol=2e-4, rtol=0
        )
    assert model.config.to_dict() == before


def test_a_config_that_cannot_be_set_leaves_no_half_change(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surgery, "per_layer_values", lambda *_: {"num_hidden_layers": 2, "no_such_key": 1})
    with pytest.raises(AttributeError), apply_chain(llama, [0, 1]):
        pass
    assert llama.config.num_hidden_layers == 4
    assert len(llama.model.layers) == 4


def test_hidden_states_have_one_entry_per_position_and_still_work_afterwards(
    llama: PreTrainedModel, tokens: torch.Tensor
) -> None:
    with apply_chain(llama, [0, 1, 1, 2, 3]):
        assert len(llama(tokens, output_hidden_states=True).hidden_states) == 6
    assert len(llama(tokens, output_hidden_states=True).hidden_states) == 5
    with apply_chain(llama, [2]):
        assert len(llama(tokens, output_hidden_states=True).hidden_states) == 2


def test_a_forward_hook_on_a_layer_fires_at_each_of_its_positions(llama: PreTrainedModel, tokens: torch.Tensor) -> None:
    calls: list[int] = []
    llama.model.layers[1].register_forward_hook(lambda module, *_: calls.append(module.self_attn.layer_idx))
    with apply_chain(llama, [0, 1, 1, 3]):
        llama(tokens)
    assert calls == [1, 2]


def test_a_hook_set_inside_a_chain_is_gone_with_it(llama: PreTrainedModel, tokens: torch.Tensor) -> None:
    calls: list[int] = []
    with apply_chain(llama, [2, 3]):
        llama.model.layers[0].register_forward_hook(lambda *_: calls.append(1))
        llama(tokens)
    llama(tokens)
    assert calls == [1]


def test_a_second_chain_inside_a_chain_is_refused(llama: PreTrainedModel) -> None:
    with apply_chain(llama, [0, 1]), pytest.raises(UserError, match="applied to this model already"):
        apply_chain(llama, [0]).__enter__()
    with apply_chain(llama, [0]):
        assert len(llama.model.layers) == 1


@pytest.mark.parametrize(
    ("chain", "reason"), [([], "at least one layer"), ([0, 4], "layer 4.* 0 to 3"), ([-1], "Layer -1 is negative")]
)
def test_a_chain_that_the_model_does_not_have_is_refused(llama: PreTrainedModel, chain: list[int], reason: str) -> None:
    with pytest.raises(UserError, match=reason), apply_chain(llama, chain):
        pass


def test_a_layer_that_there_is_not_is_told_in_the_same_words_by_a_chain_and_by_the_model(
    llama: PreTrainedModel,
) -> None:
    with pytest.raises(UserError) as by_model, apply_chain(llama, [0, 9, 4]):
        pass
    with pytest.raises(UserError) as by_chain:
        Chain([0, 9, 4]).counts(4)
    with pytest.raises(UserError, match="names layer 9, but the model has layers 0 to 3"):
        Chain.parse("0 9 4", num_layers=4)
    assert str(by_model.value) == str(by_chain.value) == "The chain names layer 9, but the model has layers 0 to 3."


def test_a_chain_may_be_any_iterable_and_is_read_once(llama: PreTrainedModel) -> None:
    with apply_chain(llama, (layer for layer in range(4) if layer != 2)):
        assert len(llama.model.layers) == llama.config.num_hidden_layers == 3


def test_what_is_no_transformers_model_is_told_where_it_is(tiny_model: LoadedModel) -> None:
    with pytest.raises(UserError, match=r"not in a LoadedModel: give model\.hf instead"):
        apply_chain(tiny_model, [0]).__enter__()


def test_layers_that_are_compiled_by_themselves_run_at_the_positions_of_a_chain(
    llama: PreTrainedModel, tokens: torch.Tensor
) -> None:
    expected = unrolled(llama, EDITS["loop"])(tokens).logits
    for layer in llama.model.layers:
        layer.compile(backend="eager")
    with apply_chain(llama, EDITS["loop"]):
        torch.testing.assert_close(cached_logits(llama, tokens), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_a_model_is_as_a_whole_in_the_mode_that_it_was_put_in_last(
    llama: PreTrainedModel, before: bool, after: bool
) -> None:
    llama.train(before)
    with apply_chain(llama, [1, 1, 3]):
        assert {module.training for module in llama.modules()} == {before}
        llama.train(after)
    assert {module.training for module in llama.modules()} == {after}


def test_a_layer_that_runs_twice_gets_the_gradients_of_both_positions() -> None:
    with torch.inference_mode(False), torch.enable_grad():
        model, chain, tokens = tiny("llama"), [0, 1, 1, 3], torch.arange(3, 12)[None]
        copied = unrolled(model, chain)
        copied(tokens, labels=tokens).loss.backward()
        with apply_chain(model, chain):
            model(tokens, labels=tokens).loss.backward()
    first, second = (copied.model.layers[i].mlp.up_proj.weight.grad for i in (1, 2))
    torch.testing.assert_close(model.model.layers[1].mlp.up_proj.weight.grad, first + second)
    assert model.model.layers[2].mlp.up_proj.weight.grad is None


GENERATION = {
    "greedy": {"do_sample": False},
    "beams": {"do_sample": False, "num_beams": 3},
    "sampled": {"do_sample": True, "temperature": 0.7, "top_k": 20},
}


@pytest.mark.parametrize("how", GENERATION)
def test_batched_left_padded_generation_equals_an_unrolled_copy(llama: PreTrainedModel, how: str) -> None:
    chain = EDITS["loop"]
    tokens = torch.tensor([[0, 0, 0, 7, 8], [5, 6, 7, 8, 9]])
    settings = {"attention_mask": (tokens != 0).long(), "max_new_tokens": 12, "pad_token_id": 0, **GENERATION[how]}
    copy = unrolled(llama, chain)
    torch.manual_seed(3)
    expected = copy.generate(tokens, **settings)
    torch.manual_seed(3)
    with apply_chain(llama, chain):
        assert torch.equal(llama.generate(tokens, **settings), expected)


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_generation_with_a_static_cache_equals_the_dynamic_one(family: str) -> None:
    model, tokens = tiny(family), torch.tensor([[5, 6, 7, 8, 9, 10]])
    settings = {"max_new_tokens": 8, "do_sample": False, "disable_compile": True}
    with apply_chain(model, [0, 1, 1, 3]):
        expected = model.generate(tokens, **settings)
        assert torch.equal(model.generate(tokens, cache_implementation="static", **settings), expected)
    model.generate(tokens, cache_implementation="static", **settings)


@pytest.mark.parametrize("help_from", ["assistant", "prompt_lookup", "early_exit"])
def test_assisted_decoding_gives_what_greedy_decoding_gives(llama: PreTrainedModel, help_from: str) -> None:
    torch.manual_seed(1)
    assistant = LlamaForCausalLM(LlamaConfig(**{**llama.config.to_dict(), "num_hidden_layers": 1})).eval()
    helps = {
        "assistant": {"assistant_model": assistant},
        "prompt_lookup": {"prompt_lookup_num_tokens": 3},
        "early_exit": {"assistant_early_exit": 2},
    }
    tokens = torch.tensor([[5, 6, 7, 5, 6, 7, 5]])
    with apply_chain(llama, EDITS["loop"]):
        expected = llama.generate(tokens, max_new_tokens=12, do_sample=False)
        helped = llama.generate(tokens, max_new_tokens=12, do_sample=False, **helps[help_from])
    assert torch.equal(helped, expected)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 99}, "per-layer inputs"),
        ({"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 2}, "keys and values of earlier ones"),
    ],
)
def test_gemma4_is_refused_by_name_with_the_reason(overrides: dict[str, int], reason: str) -> None:
    model = tiny("llama")
    model.config = AutoConfig.for_model("gemma4_text", num_hidden_layers=4, **overrides)
    with pytest.raises(UserError, match=f"'gemma4_text' cannot run chains: .*{reason}"):
        find_layers(model)


def test_an_encoder_decoder_is_refused() -> None:
    config = T5Config(d_model=16, d_kv=4, d_ff=16, num_layers=2, num_heads=4, vocab_size=32, decoder_start_token_id=0)
    with pytest.raises(UserError, match="'t5' cannot run chains: it has an encoder and a decoder"):
        find_layers(T5ForConditionalGeneration(config))


def test_a_recurrent_model_runs_chains_where_its_state_comes_back_as_a_cache_and_is_refused_where_not(
    tokens: torch.Tensor,
) -> None:
    model = tiny("mamba", state_size=8)
    if cache_name(model) is None:  # before transformers 5.24
        with pytest.raises(UserError, match="'mamba' cannot run chains: it hands back no key-value cache"):
            self_check(model)
        return
    for chain in EDITS.values():
        expected = unrolled(model, chain)(tokens, use_cache=False).logits
        with apply_chain(model, chain):
            torch.testing.assert_close(cached_logits(model, tokens), expected, atol=1e-4, rtol=1e-4)


def test_a_model_whose_layer_list_is_not_one_is_refused(llama: PreTrainedModel) -> None:
    llama.config.num_hidden_layers = 3
    with pytest.raises(UserError, match="0 of its module lists have num_hidden_layers entries"):
        find_layers(llama)


def test_experts_in_a_list_as_long_as_the_layers_are_not_taken_for_layers(llama: PreTrainedModel) -> None:
    for layer in llama.model.layers:
        layer.mlp.experts = torch.nn.ModuleList(torch.nn.Identity() for _ in range(4))
    assert find_layers(llama)[0] == "model.layers"


def test_wrapped_layers_are_refused(llama: PreTrainedModel) -> None:
    llama.model.layers[0].mlp.forward = llama.model.layers[0].mlp.forward
    with pytest.raises(UserError, match="forward of its layers is patched"):
        find_layers(llama)


def test_the_self_check_catches_a_cache_slot_that_is_shared(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surgery, "_SLOT_NAMES", ())  # what public code does: the copies keep their layer's slot
    with pytest.raises(UserError, match="'llama' cannot run chains: an edited chain"):
        self_check(llama)


def test_the_self_check_refuses_a_model_whose_logits_are_no_numbers(llama: PreTrainedModel) -> None:
    llama.lm_head.weight[5] = torch.nan
    with pytest.raises(
        UserError, match=r"even untouched its logits are no numbers in float32; set another model\.dtype"
    ):
        self_check(llama)


def test_the_self_check_says_so_where_only_the_edited_chain_overflows(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([math.nan, 0.01])
    monkeypatch.setattr(surgery, "_cache_error", lambda hf: next(errors))
    with pytest.raises(
        UserError, match=r"an edited chain's logits are no numbers in float16; set another model\.dtype"
    ):
        self_check(llama.half())


@pytest.fixture(scope="module", params=["smollm2", "qwen25_coder_05b"])
def real(request: pytest.FixtureRequest) -> LoadedModel:
    if request.param == "smollm2":
        return request.getfixturevalue("smollm2")
    return load_model(with_overrides(model_config(request.param), source="pypi"), device="cpu", dtype="float32")


def test_a_real_model_runs_the_identity_chain_bit_equal(real: LoadedModel) -> None:
    tokens = real.tokenizer(PROMPT, return_tensors="pt").input_ids
    expected = real.hf(tokens).logits
    with apply_chain(real.hf, range(real.num_layers)):
        assert torch.equal(real.hf(tokens).logits, expected)


@pytest.mark.parametrize("edit", ["repeat", "skip_first", "loop"])
def test_a_real_model_generates_with_the_cache_what_it_generates_without(real: LoadedModel, edit: str) -> None:
    last = real.num_layers
    chain = {
        "repeat": [*range(6), 5, *range(6, last)],
        "skip_first": list(range(1, last)),
        "loop": [*range(10), *range(6, last)],
    }[edit]
    tokens = real.tokenizer(PROMPT, return_tensors="pt").input_ids
    with apply_chain(real.hf, chain):
        cached = real.hf.generate(tokens, max_new_tokens=8, do_sample=False, use_cache=True)
        uncached = real.hf.generate(tokens, max_new_tokens=8, do_sample=False, use_cache=False)
    assert torch.equal(cached, uncached)


def test_a_real_model_passes_the_self_check(real: LoadedModel) -> None:
    assert self_check(real.hf) < 1e-3
