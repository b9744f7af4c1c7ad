"""A found chain as an ordinary checkpoint, which any tool that reads transformers folders can load."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from cola_search.chain import Chain
from cola_search.errors import UserError
from cola_search.model.loading import LoadedModel, quiet, require_loaded
from cola_search.model.surgery import apply_chain, configs_of_layers, find_layers, per_layer_values, probe_tokens
from cola_search.wheels import staged_folder

_TOLERANCE_SD = 0.02  # kernels may round differently at another address; a wrong layer is off by more than 0.1


def export_chain(
    model: LoadedModel, chain: Iterable[int], folder: str | Path, card: Mapping[str, Any] | None = None
) -> Path:
    """The folder, now holding `chain` unrolled: weights, configs, tokenizer, and a model card.

    Repeated layers are written out once per position, so the checkpoint grows with the chain. The folder is read back
    and its logits compared with `apply_chain` before it appears. `card` is what the card says about the data: task,
    split, number of samples, accuracies.

    Raises UserError: folder not empty, chain out of range, quantised model, or a family that an ordinary checkpoint
    cannot express in this order (a layer whose form follows from its index).
    """
    require_loaded(model)
    target = Path(folder).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists and is not an empty folder; export to another one.")
    if getattr(model.hf, "hf_quantizer", None) is not None:
        raise UserError(
            f"{model.name} is quantised, and its layers cannot be written out: export the chain from the model that it was made of."
        )
    positions = Chain(chain)
    with apply_chain(model.hf, positions):
        expected = _probe(model.hf)
    with staged_folder(target) as staged, quiet():
        _unrolled(model.hf, positions).save_pretrained(staged)
        model.hf.generation_config.to_json_file(staged / "generation_config.json", keys_to_pop=["compile_config"])
        model.tokenizer.save_pretrained(staged)
        (staged / "README.md").write_text(model_card(model, positions, card or {}), encoding="utf-8")
        _require_same(staged, model, positions, expected)
    return target


def model_card(model: LoadedModel, chain: Chain, data: Mapping[str, Any]) -> str:
    """Markdown with the chain, what it was found on, how to use it, and what it does not show."""
    base = model.config.hub_id or model.name
    skipped = ", ".join(map(str, chain.skipped(model.num_layers))) or "none"
    repeated = ", ".join(map(str, chain.repeated())) or "none"
    cells = {key: str(value).replace("|", "/") for key, value in data.items()} or {"data": "not stated"}
    rows = "\n".join(f"| {key} | {value} |" for key, value in cells.items())
    return f"""---
library_name: transformers
pipeline_tag: text-generation
base_model: {base}
tags: [cola_search, chain-of-layers]
---

# {base}, layers run as `{chain}`

The weights of {base} (from: {model.source}, revision {model.revision}), unchanged, with its layers in another order. No
training was done. Ranges are inclusive and count from 0; `x2` means that a block runs twice.

| | |
| --- | --- |
| chain | `{chain}` |
| layers run | {len(chain)} of {model.num_layers} in the base model |
| skipped | {skipped} |
| repeated | {repeated} |
{rows}

**Oracle warning.** A chain found by search was chosen with the gold answers of the samples that it was scored on. Its
accuracy on those samples says little: measure it on others before you claim anything. On other inputs it may be much
worse than the base model.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("THIS_FOLDER")
tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")
```

The licence of the base model applies. Made with cola_search; the same chain runs without a copy of the weights as
`with apply_chain(model, Chain.parse("{chain}")): ...`.
"""


def _unrolled(hf: PreTrainedModel, chain: Sequence[int]) -> PreTrainedModel:
    """A model of `len(chain)` layers with tensors of its own for every repeat; other tensors are shared with `hf`."""
    path, layers = find_layers(hf)
    config = copy.deepcopy(hf.config)
    for part in configs_of_layers(config, len(layers)):
        for name, value in per_layer_values(part, chain, len(layers)).items():
            setattr(part, name, value)
    try:
        with torch.device("meta"):
            unrolled = type(hf)(config)
        unrolled.load_state_dict(_unrolled_tensors(hf.state_dict(), path, chain), assign=True)
    except Exception as error:  # a config that does not go with the chain may fail anywhere in the family's code
        raise _inexpressible(hf, chain) from error
    unrolled.generation_config = GenerationConfig()  # the base's is written beside it: some may be read, not saved
    return unrolled


def _unrolled_tensors(tensors: Mapping[str, torch.Tensor], path: str, chain: Sequence[int]) -> dict[str, torch.Tensor]:
    """The tensors under the names that they have in the unrolled model; a second use of a layer is a copy in main memory."""
    unrolled = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{path}.")}
    for position, layer in enumerate(chain):
        prefix = f"{path}.{layer}."
        for name, tensor in tensors.items():
            if name.startswith(prefix):
                copied = tensor.to("cpu", copy=True) if layer in chain[:position] else tensor
                unrolled[f"{path}.{position}.{name.removeprefix(prefix)}"] = copied
    return unrolled


def _require_same(folder: Path, model: LoadedModel, chain: Sequence[int], expected: torch.Tensor) -> None:
    on_cpu = model.device.type == "cpu"  # a GPU holds the base as well: some layers may have to wait
    loaded = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=model.hf.dtype,  # it may have been changed since the model was loaded
        local_files_only=True,
        use_safetensors=True,
        attn_implementation=model.hf.config._attn_implementation,  # in low precision another is half a deviation off
        device_map=None if on_cpu else "auto",
    )
    difference = (_probe(loaded).to(expected.device) - expected).abs().max()
    if not difference <= _TOLERANCE_SD * expected.std():
        raise _inexpressible(model.hf, chain)


def _probe(hf: PreTrainedModel) -> torch.Tensor:
    """Logits [1, T, V] of a few tokens, without dropout."""
    training = hf.training
    try:
        with torch.inference_mode():
            return hf.eval()(probe_tokens(hf), use_cache=False).logits.float()
    finally:
        hf.train(training)


def _inexpressible(hf: PreTrainedModel, chain: Sequence[int]) -> UserError:
    return UserError(
        f"An ordinary '{hf.config.model_type}' checkpoint cannot express the chain {Chain(chain)}: the form of a layer "
        "follows from its index there; use apply_chain, or a chain that keeps such layers in place."
    )
