"""Chains written out as ordinary checkpoints."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES, tiny, tiny_with_images
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from cola_search.errors import UserError
from cola_search.model.config import model_config
from cola_search.model.export import export_chain
from cola_search.model.loading import LoadedModel, load_model
from cola_search.model.surgery import apply_chain

CHAIN = [0, 1, 2, 1, 2, 4, 5]


def logits(model: torch.nn.Module, chain: list[int] | None = None) -> torch.Tensor:
    tokens = torch.arange(3, 40)[None]
    with torch.inference_mode():
        if chain is None:
            return model(tokens).logits
        with apply_chain(model, chain):
            return model(tokens).logits


@pytest.fixture
def family_model(tiny_model: LoadedModel, request: pytest.FixtureRequest) -> LoadedModel:
    """The tiny model with its weights exchanged for a random model of another family."""
    family, sizes = request.param
    return replace(tiny_model, hf=tiny(family, vocab_size=259, **sizes), num_layers=4)


def test_the_export_gives_the_logits_of_the_chain(tiny_model: LoadedModel, tmp_path: Path) -> None:
    folder = export_chain(tiny_model, CHAIN, tmp_path / "found")
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert torch.equal(logits(loaded), logits(tiny_model.hf, CHAIN))
    assert loaded.config.num_hidden_layers == 7


def test_every_repeat_has_tensors_of_its_own(tiny_model: LoadedModel, tmp_path: Path) -> None:
    folder = export_chain(tiny_model, [1, 1], tmp_path / "found")
    with safe_open(folder / "model.safetensors", "pt") as weights:
        names = list(weights.keys())
    assert sum("layers.0." in name for name in names) == sum("layers.1." in name for name in names) == 9
    assert not any("layers.2." in name for name in names)


def test_the_model_is_untouched_by_an_export(tiny_model: LoadedModel, tmp_path: Path) -> None:
    before = logits(tiny_model.hf)
    export_chain(tiny_model, CHAIN, tmp_path / "found")
    assert torch.equal(logits(tiny_model.hf), before)


def test_the_tokenizer_comes_along(tiny_model: LoadedModel, tmp_path: Path) -> None:
    folder = export_chain(tiny_model, CHAIN, tmp_path / "found")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("Hello  3").input_ids == tiny_model.tokenizer("Hello  3").input_ids
    assert tokenizer.chat_template == tiny_model.tokenizer.chat_template


def test_the_card_says_chain_data_and_oracle_warning(tiny_model: LoadedModel, tmp_path: Path) -> None:
    folder = export_chain(tiny_model, CHAIN, tmp_path / "found", {"task": "arc_easy", "samples": 32})
    card = (folder / "README.md").read_text()
    for part in (
        "`0 (1-2)x2 4-5`",
        "| layers run | 7 of 6",
        "| skipped | 3 |",
        "| task | arc_easy |",
        "Oracle warning",
    ):
        assert part in card


@pytest.mark.parametrize("family_model", [("gemma3_text", {"sliding_window": 4})], indirect=True)
def test_layer_types_have_the_new_length_and_order(family_model: LoadedModel, tmp_path: Path) -> None:
    types = list(family_model.hf.config.layer_types)
    folder = export_chain(family_model, [3, 3, 0], tmp_path / "found")
    assert AutoConfig.from_pretrained(folder).layer_types == [types[3], types[3], types[0]]
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert torch.equal(logits(loaded), logits(family_model.hf, [3, 3, 0]))


def test_a_model_that_sees_exports_with_the_chain_in_the_config_of_its_layers(
    tiny_model: LoadedModel, tmp_path: Path
) -> None:
    hf = tiny_with_images()
    folder = export_chain(replace(tiny_model, hf=hf, num_layers=4), [3, 0, 0], tmp_path / "found")
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert loaded.config.text_config.num_hidden_layers == 3 and not hasattr(loaded.config, "num_hidden_layers")
    assert torch.equal(logits(loaded), logits(hf, [3, 0, 0]))


_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}


@pytest.mark.parametrize(
    "family_model",
    [("qwen2_moe", {**_EXPERTS, "shared_expert_intermediate_size": 24, "mlp_only_layers": [1]})],
    indirect=True,
)
def test_dense_layers_among_experts_keep_their_kind_at_their_new_place(
    family_model: LoadedModel, tmp_path: Path
) -> None:
    folder = export_chain(family_model, [0, 2, 1, 1], tmp_path / "found")
    assert AutoConfig.from_pretrained(folder).mlp_only_layers == [2, 3]
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.testing.assert_close(logits(loaded), logits(family_model.hf, [0, 2, 1, 1]))


_LATENT = {"first_k_dense_replace": 1}
_INEXPRESSIBLE = [("deepseek_v3", _LATENT), ("diffllama", {})]


@pytest.mark.parametrize("family_model", _INEXPRESSIBLE, indirect=True, ids=["other_tensors", "other_logits"])
def test_a_chain_that_a_checkpoint_cannot_express_is_refused_and_nothing_is_left(
    family_model: LoadedModel, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="checkpoint cannot express the chain 1-3"):
        export_chain(family_model, [1, 2, 3], tmp_path / "found")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_refused(tiny_model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is not an empty folder"):
        export_chain(tiny_model, CHAIN, tmp_path)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_chain_out_of_range_is_refused(tiny_model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="layer 6"):
        export_chain(tiny_model, [0, 6], tmp_path / "found")


def test_a_real_chain_exports_to_the_same_logits(smollm2: LoadedModel, tmp_path: Path) -> None:
    chain = [*range(1, 20), 18, 19, *range(22, 30)]
    folder = export_chain(smollm2, chain, tmp_path / "found")
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert torch.equal(logits(loaded), logits(smollm2.hf, chain))
    assert loaded.config.tie_word_embeddings


def test_stock_lm_eval_reads_an_exported_chain_and_gives_our_verdicts(tiny_model: LoadedModel, tmp_path: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    from cola_search import Chain, ModelScorer, load_task

    chain = Chain.parse("0 2 (3)x2 5")
    export_chain(tiny_model, chain, tmp_path / "shorter")
    stock = HFLM(pretrained=str(tmp_path / "shorter"), dtype="float32", batch_size=1, device="cpu")
    task = load_task("arc_easy", limit=4)
    scorer = ModelScorer(tiny_model, task)
    for sample in task:
        theirs = stock.loglikelihood(sample.requests, disable_tqdm=True)
        assert sample.prediction(theirs) == scorer.score(sample, [chain])[0].prediction


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": False, "temperature": 0.6, "top_p": 0.9},
        {"temperature": 0.6},
        {"num_beams": 1, "early_stopping": True},
    ],
)
def test_the_generation_config_comes_along_as_it_is_even_where_transformers_would_not_save_it(
    tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    own = tiny_model.hf.generation_config
    for name, value in settings.items():
        monkeypatch.setattr(own, name, value)
    folder = export_chain(tiny_model, CHAIN, tmp_path / "found")
    saved = GenerationConfig.from_pretrained(folder)
    assert {name: getattr(saved, name) for name in settings} == settings
    assert saved.eos_token_id == own.eos_token_id


def test_the_folder_of_an_export_is_open_to_whom_the_user_lets_in(tiny_model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    folder = export_chain(tiny_model, CHAIN, tmp_path / "found")
    assert folder.stat().st_mode == (tmp_path / "own").stat().st_mode


def test_a_quantised_model_is_refused(tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_model.hf, "hf_quantizer", object(), raising=False)
    with pytest.raises(UserError, match=r"is quantised.*from the model that it was made of"):
        export_chain(tiny_model, CHAIN, tmp_path / "found")


def test_a_folder_that_cannot_be_written_to_is_one_sentence(
    tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(UserError, match="cannot be written"):
        export_chain(tiny_model, CHAIN, tmp_path / "found")


@pytest.mark.parametrize("below", ["found", "found/deeper"])
def test_a_file_in_the_place_of_a_folder_is_one_sentence(tiny_model: LoadedModel, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot be written"):
        export_chain(tiny_model, CHAIN, tmp_path / "file" / below)


@pytest.mark.parametrize(("device", "device_map"), [("cpu", None), ("cuda", "auto")])
def test_the_checkpoint_is_read_back_where_there_is_room_for_it_beside_the_base(
    tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, device_map: str | None
) -> None:
    read, asked = AutoModelForCausalLM.from_pretrained, []
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *args, **kwargs: asked.append(kwargs) or read(*args, **kwargs)
    )
    export_chain(replace(tiny_model, device=torch.device(device)), CHAIN, tmp_path / "found")
    assert [kwargs["device_map"] for kwargs in asked] == [device_map]


def test_a_model_in_low_precision_exports_with_whatever_attention_it_was_loaded(tmp_path: Path) -> None:
    config = replace(
        model_config("smollm2"), source="pypi", attn="eager", dtype="bfloat16", device="cpu", self_check=False
    )
    export_chain(load_model(config), range(30), tmp_path / "found")


@pytest.mark.parametrize("family_model", [("gpt2", {"resid_pdrop": 0.5})], indirect=True)
def test_a_model_in_train_mode_and_in_another_dtype_than_it_was_loaded_in_exports_and_stays_so(
    family_model: LoadedModel, tmp_path: Path
) -> None:
    hf = family_model.hf.to(torch.bfloat16).train()
    folder = export_chain(family_model, [1, 1, 0], tmp_path / "found")
    assert AutoModelForCausalLM.from_pretrained(folder, dtype="auto").dtype == torch.bfloat16
    assert all(module.training for module in hf.modules())


_SPARSE = {**FAMILIES["deepseek_v3"], "indexer_types": ["full", "shared", "full", "full"]}


@pytest.mark.parametrize("family_model", [("glm_moe_dsa", _SPARSE)], indirect=True)
def test_a_list_of_indexers_has_the_new_length_and_order(family_model: LoadedModel, tmp_path: Path) -> None:
    folder = export_chain(family_model, [0, 1, 1, 3, 2], tmp_path / "found")
    assert AutoConfig.from_pretrained(folder).indexer_types == ["full", "shared", "shared", "full", "full"]


def test_a_config_that_does_not_go_with_the_chain_is_refused_whatever_the_family_raises(
    tiny_model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(self: object, config: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(type(tiny_model.hf), "__init__", build)
    with pytest.raises(UserError, match="checkpoint cannot express the chain"):
        export_chain(tiny_model, CHAIN, tmp_path / "found")
