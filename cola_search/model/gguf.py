"""GGUF files as ordinary checkpoints: dequantised once into safetensors, kept in the cache."""

import io
import logging
from contextlib import redirect_stderr
from pathlib import Path

import torch
import transformers
from gguf import GGUFReader
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase

from cola_search import wheels
from cola_search.errors import UserError, first_line
from cola_search.model.precision import dtype_name

log = logging.getLogger(__name__)

_CONVERSION = 2  # part of the cache key: raise it when the conversion changes what comes out


def converted_folder(file: Path, key: str, dtype: torch.dtype) -> Path:
    """A folder that holds `file` as safetensors of `dtype` with its tokenizer; `key` stands for the file's content.

    The first call converts (about 15 s for 100 MB), later ones find the folder. Raises UserError if the file is not
    a GGUF that transformers reads, or the disk is full.
    """
    target = _target(file, key, dtype)
    with wheels.locked(target):
        if not target.is_dir():
            log.info("Converting %s to safetensors (once; kept in %s).", file.name, target)
            with (
                wheels.staged_folder(target) as folder,
                redirect_stderr(io.StringIO()),
            ):  # a progress bar, unconditional
                master = _target(file, key, torch.float32)
                _convert(master if master.is_dir() else file, folder, dtype)
    return target


def _target(file: Path, key: str, dtype: torch.dtype) -> Path:
    return wheels.cache_root() / "models" / f"{file.stem}-{key[:12]}-{dtype_name(dtype)}-v{_CONVERSION}"


def _convert(source: Path, folder: Path, dtype: torch.dtype) -> None:
    """Write model and tokenizer into a folder; `source` is a GGUF file, or the folder of its float32 conversion."""
    try:
        tokenizer, model = _from_folder(source, dtype) if source.is_dir() else _from_gguf(source, dtype)
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    except OSError:
        raise
    except Exception as error:
        if "No space left" in str(error):
            raise UserError(f"The disk is full ({folder.parent}): free some space or set COLA_CACHE.") from error
        raise UserError(f"{source} cannot be read as a GGUF model by transformers: {first_line(error)}") from error


def _from_folder(folder: Path, dtype: torch.dtype) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer, AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)


def _from_gguf(file: Path, dtype: torch.dtype) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    where = {"gguf_file": file.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
    reader = GGUFReader(file)  # seconds for a large vocabulary
    restore_pre_tokenizer(tokenizer.backend_tokenizer, str(_field(reader, "tokenizer.ggml.pre") or ""))
    check_tokenizer(tokenizer, bool(_field(reader, "tokenizer.ggml.add_bos_token")))
    plain = GgufConfig(dequantize=True)  # otherwise the model counts as quantised and cannot be saved
    return tokenizer, AutoModelForCausalLM.from_pretrained(file.parent, dtype=dtype, quantization_config=plain, **where)


def restore_pre_tokenizer(tokenizer: Tokenizer, kind: str) -> None:
    """Give a tokenizer the splitting that its GGUF file declares (`tokenizer.ggml.pre`) where transformers drops it.

    SmolLM splits digits one by one before the byte level; without that, several spaces before a digit come out as
    other tokens than in training.
    """
    if kind == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, adds_bos: bool) -> None:
    """Raises ValueError if the tokenizer was misread, which no weight shows and which leaves a model at chance.

    transformers before 5.20 lost the merges of Gemma's GGUF files, so that words came out as letters, and before 5.23 the
    beginning-of-text token that the file asks for (`adds_bos`).
    """
    text = "Which of these is water?"
    ids = tokenizer(text).input_ids
    if len(tokenizer) > 1000 and len(ids) > len(text) / 2:
        raise ValueError(f"transformers {transformers.__version__} splits its words into letters; use 5.23 or newer")
    if adds_bos and ids[0] != tokenizer.bos_token_id:
        raise ValueError(f"transformers {transformers.__version__} drops its {tokenizer.bos_token}; use 5.23 or newer")


def _field(reader: GGUFReader, name: str) -> object:
    field = reader.get_field(name)
    return None if field is None else field.contents()
