"""GGUF files as checkpoints, on a tiny file written here and on the real one."""

from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers

from cola_search.errors import UserError
from cola_search.model import gguf as conversion
from cola_search.model.loading import LoadedModel, load_model

WIDTH, LAYERS, HEADS = 32, 2, 4


def write_gguf(path: Path, pre: str = "smollm") -> Path:
    """A random llama in float32 with a byte-level vocabulary that also has a token for two spaces."""
    rng = np.random.default_rng(0)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet, "ĠĠ"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(48)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    shapes = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        names = {"attn_q": WIDTH, "attn_k": WIDTH, "attn_v": WIDTH, "attn_output": WIDTH}
        shapes |= {f"blk.{layer}.{name}": (rows, WIDTH) for name, rows in names.items()}
        shapes |= {f"blk.{layer}.{name}": (48, WIDTH) for name in ("ffn_gate", "ffn_up")}
        shapes |= {f"blk.{layer}.ffn_down": (WIDTH, 48)}
        shapes |= {f"blk.{layer}.{name}": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(0, 0.3, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path, cache: Path) -> Path:
    return write_gguf(tmp_path / "tiny.gguf")


def test_a_gguf_file_loads_as_an_ordinary_model(file: Path) -> None:
    model = load_model(str(file), device="cpu", dtype="float32")
    assert model.num_layers == LAYERS
    assert model.source == "local"
    assert not getattr(model.hf, "is_quantized", False)


def test_a_gguf_file_is_converted_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_model(str(file), device="cpu", dtype="float32")
    monkeypatch.setattr(conversion, "_convert", lambda *_: pytest.fail("converted again"))
    again = load_model(str(file), device="cpu", dtype="float32")
    tokens = torch.arange(3, 20)[None]
    assert torch.equal(again.hf(tokens).logits, first.hf(tokens).logits)


def test_a_conversion_draws_no_progress_bar(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_model(str(file), device="cpu", dtype="float32")
    assert capsys.readouterr() == ("", "")


def test_another_file_under_the_same_name_is_converted_afresh(file: Path) -> None:
    first = load_model(str(file), device="cpu", dtype="float32")
    write_gguf(file, pre="default")
    again = load_model(str(file), device="cpu", dtype="float32")
    assert first.tokenizer("a  3").input_ids != again.tokenizer("a  3").input_ids


def test_the_bfloat16_copy_is_the_rounded_float32_one_whichever_is_made_first(file: Path, cache: Path) -> None:
    low = load_model(str(file), device="cpu", dtype="bfloat16").hf.state_dict()
    full = load_model(str(file), device="cpu", dtype="float32").hf.state_dict()
    half = load_model(str(file), device="cpu", dtype="float16").hf.state_dict()
    assert all(torch.equal(tensor, full[name].bfloat16()) for name, tensor in low.items())
    assert all(torch.equal(tensor, full[name].half()) for name, tensor in half.items())


def test_a_conversion_that_breaks_off_leaves_nothing_behind(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(source: Path, folder: Path, dtype: torch.dtype) -> None:
        (folder / "model.safetensors").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "_convert", break_off)
        with pytest.raises(KeyboardInterrupt):
            load_model(str(file), device="cpu", dtype="float32")
    assert list((cache / "models").iterdir()) == []
    assert load_model(str(file), device="cpu", dtype="float32").num_layers == LAYERS


def test_a_file_that_is_not_gguf_is_one_sentence(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"not a model" * 100)
    with pytest.raises(UserError, match=r"bad.gguf cannot be read as a GGUF model") as caught:
        load_model(str(tmp_path / "bad.gguf"))
    assert "\n" not in str(caught.value)


def test_digits_are_split_off_before_spaces_are_merged_where_the_file_says_smollm(file: Path) -> None:
    tokenizer = load_model(str(file), device="cpu", dtype="float32").tokenizer
    assert tokenizer.convert_ids_to_tokens(tokenizer("a  3").input_ids) == ["a", "ĠĠ", "3"]


def test_smollm2_tokenises_spaces_before_digits_as_in_training(smollm2: LoadedModel) -> None:
    assert smollm2.tokenizer("a  3").input_ids == [81, 256, 35]
    assert smollm2.tokenizer("12").input_ids == [33, 34]


class Misread:
    """A tokenizer of a large vocabulary that gives these tokens."""

    bos_token, bos_token_id = "<bos>", 2

    def __init__(self, ids: list[int]) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return 262_144

    def __call__(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(input_ids=self.ids)


@pytest.mark.parametrize(
    ("ids", "adds_bos", "said"),
    [([2, *range(5, 29)], True, "splits its words into letters"), ([5, 6, 7, 8], True, "drops its <bos>")],
)
def test_a_tokenizer_that_was_misread_is_refused(ids: list[int], adds_bos: bool, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        conversion.check_tokenizer(Misread(ids), adds_bos)  # type: ignore[arg-type]


def test_a_tokenizer_that_was_read_well_is_taken() -> None:
    conversion.check_tokenizer(Misread([2, 6, 7, 8]), True)  # type: ignore[arg-type]
    conversion.check_tokenizer(Misread([6, 7, 8]), False)  # type: ignore[arg-type]
