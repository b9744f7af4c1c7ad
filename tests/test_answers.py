"""When a generated answer is complete, and its text, as lm-eval has them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import tiny_tokenizer
from lm_eval.models.utils_hf import MultiTokenEOSCriteria
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from cola_search.model.answers import StopWatch
from cola_search.model.stock import Encoded

HF = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=2))


@pytest.fixture
def tokenizer() -> Any:
    """The tiny tokenizer with a special token that is not its end."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    return tokenizer


def watch(tokenizer: Any, stops: list[str], sample: Any = None) -> StopWatch:
    return StopWatch(sample, Encoded([[5]], [[]], stops, 99), tokenizer, HF)


def test_a_stop_string_that_is_a_special_token_ends_an_answer_and_is_not_in_its_text(tokenizer: Any) -> None:
    tokens, watching = tokenizer.encode("42<|im_end|>"), watch(tokenizer, ["<|im_end|>"])
    assert not watching.done(tokens[:-1])
    assert watching.done(tokens)
    assert watching.text(tokens) == "42"


def test_whether_a_verdict_is_settled_is_asked_of_the_text_without_special_tokens(tokenizer: Any) -> None:
    seen: list[str] = []
    watching = watch(tokenizer, ["\n"], SimpleNamespace(settled=lambda text: seen.append(text)))
    assert not watching.done(tokenizer.encode("4<|im_end|>2"))
    assert seen == ["42"]


def test_a_stop_string_behind_bytes_that_are_no_character_ends_an_answer_as_in_lm_eval() -> None:
    """As Llama 2 decodes them, in one go: a newline is a byte there, and is lost in the text of all tokens."""
    vocabulary = {"<unk>": 0, "a": 1, **{f"<0x{byte:02X}>": 3 + byte for byte in range(256)}}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    bytewise = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    for before, ends in ((b"\xe2\xc3\xa9", True), (b"\xe2\xc3", False)):
        tokens = [1, *(3 + byte for byte in before + b"\n")]
        assert "\n" not in bytewise.decode(tokens)
        watching = watch(bytewise, ["\n"])
        criterion = MultiTokenEOSCriteria("\n", bytewise, 0, 1)  # type: ignore[arg-type]
        for n in range(1, len(tokens) + 1):
            assert (
                watching.done(tokens[:n]) is criterion(torch.tensor([tokens[:n]]), None) is (ends and n == len(tokens))
            )
