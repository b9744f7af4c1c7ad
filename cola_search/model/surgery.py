"""Run any chain of a decoder's layers inside a stock transformers model.

A decoder layer of transformers writes its keys and values to the cache slot that its own `layer_idx` names. Running
the same module at two positions therefore mixes two caches and gives, silently, another model. So every *position* of a
chain gets a shallow copy of its layer: new module objects around the same parameters, with `layer_idx` set to the
position. The list of layers is exchanged and the config told its length; masks, rotary embeddings, sliding windows,
caches and `generate` stay transformers' own, whatever the family.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils.output_capturing import maybe_install_capturing_hooks

from cola_search.chain import Chain, check_layers
from cola_search.errors import UserError
from cola_search.model.caches import cache_name, refuse_other_caches
from cola_search.model.precision import dtype_name, is_low

# Config lists that hold layer *indices*; lists with one entry per layer are recognised by name and length.
_INDEX_LISTS = ("mlp_only_layers", "moe_layers", "attn_layer_indices", "full_attn_idxs", "hybrid_layer_ids")
_LAYER_WORDS = ("layer", "block", "indexer_types")  # one of them is in the name of a list with one entry per layer
_REFUSALS = {
    "is_encoder_decoder": "it has an encoder and a decoder, and a chain is one stack",
    "hidden_size_per_layer_input": "each of its layers reads an embedding made for its own place (per-layer inputs)",
    "num_kv_shared_layers": "its later layers read the keys and values of earlier ones",
    "kv_sharing_modes": "some of its layers read the keys and values of others",
    "is_heterogeneous": "its config overrides single layers by index (per_layer_config)",
}
_SLOT_NAMES = ("layer_idx", "layer_id")  # what the modules of transformers call their cache slot
_PROBE_TOKENS = 8
_PROBE_PREFIX = 3


class _ChainList(nn.ModuleList):
    """The list of layers while a chain is applied; its type says that one is."""


def find_layers(hf: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Path inside `hf` and the ModuleList of the decoder's layers, the one with `num_hidden_layers` entries.

    Raises UserError, naming the model type and the reason, for a model whose layers cannot be chained.
    """
    if not isinstance(getattr(hf, "config", None), PreTrainedConfig):
        raise UserError(f"A chain runs in a transformers model, not in a {type(hf).__name__}: give model.hf instead.")
    config = hf.config.get_text_config(decoder=True)
    for holder in (hf.config, config):
        for attribute, reason in _REFUSALS.items():
            if getattr(holder, attribute, None):
                raise _refusal(hf, reason)
    found = _layer_lists(hf, getattr(config, "num_hidden_layers", None))
    if len(found) != 1:
        raise _refusal(hf, f"{len(found)} of its module lists have num_hidden_layers entries, and exactly one must")
    ((path, layers),) = found.items()
    if any(_is_patched(module) for module in layers.modules()):
        raise _refusal(hf, "the forward of its layers is patched")
    return path, layers


@contextmanager
def apply_chain(hf: PreTrainedModel, chain: Iterable[int]) -> Iterator[PreTrainedModel]:
    """`hf` itself, running `chain` until the block ends; `generate`, caches, masks and hidden states are right inside.

    Afterwards the model is as it was, also after an exception: hooks and adapters that were put on its layers inside are gone,
    weights and train or eval mode that were changed stay so. Caches made inside are for this chain only. Raises UserError for
    a chain that the model does not have, if a chain is applied to this model already, and inside, at the first layer, for a
    cache that was filled by another chain or by the whole model.
    """
    path, layers = find_layers(hf)
    if isinstance(layers, _ChainList):
        raise UserError("A chain is applied to this model already: leave that `with apply_chain(...)` block first.")
    holder_path, _, name = path.rpartition(".")
    _install_capture(hf, holder_path)
    positions = Chain(chain)
    copies = _chain_list(layers, positions)
    with _adapted_configs(hf, positions, len(layers)):
        holder = hf.get_submodule(holder_path)
        setattr(holder, name, copies)
        try:
            yield hf
        finally:
            setattr(holder, name, layers)
            if copies.training != layers.training:
                layers.train(copies.training)


def configs_of_layers(config: PreTrainedConfig, num_layers: int) -> list[PreTrainedConfig]:
    """Of a model's config and that of the decoder in it, which may be the same, those that speak of the layers."""
    configs = {id(each): each for each in (config, config.get_text_config(decoder=True))}
    return [each for each in configs.values() if getattr(each, "num_hidden_layers", None) == num_layers]


def per_layer_values(config: PreTrainedConfig, chain: Sequence[int], num_layers: int) -> dict[str, Any]:
    """What a config must say for `chain`: its length, and every per-layer list rearranged.

    A list is per layer if it has `num_layers` entries and its name speaks of layers or blocks (`layer_types`,
    `no_rope_layers`, ...), or is known to be one. Lists of layer indices become lists of positions.
    """
    values: dict[str, Any] = {"num_hidden_layers": len(chain)}
    for name, value in vars(config).items():
        if not isinstance(value, list | tuple):
            continue
        if name in _INDEX_LISTS:
            values[name] = [position for position, layer in enumerate(chain) if layer in value]
        elif len(value) == num_layers and not name.startswith("_") and any(word in name for word in _LAYER_WORDS):
            values[name] = [value[layer] for layer in chain]
    return values


def self_check(hf: PreTrainedModel) -> float:
    """How far cached and uncached logits of an edited chain are apart, in standard deviations of the logits.

    The chain skips layer 0, repeats a layer and loops a block; 8 tokens, median over positions. Guards against a family
    that nobody tried. Raises UserError if the two disagree: then this model cannot be searched.
    """
    chain = _probe_chain(len(find_layers(hf)[1]))
    tolerance = 0.5 if is_low(hf.dtype) else 0.02  # a wrong cache is > 1
    with torch.inference_mode():
        try:
            with apply_chain(hf, chain):
                error = _cache_error(hf)
            if not error < tolerance:
                raise _disagreement(hf, error, _cache_error(hf), tolerance)
        except UserError:
            raise
        except Exception as failure:
            raise _refusal(hf, f"an edited chain fails in its forward pass ({failure})") from failure
    return error


def _disagreement(hf: PreTrainedModel, edited: float, untouched: float, tolerance: float) -> UserError:
    if not math.isfinite(edited):
        whose = "an edited chain's" if math.isfinite(untouched) else "even untouched its"
        reason = f"{whose} logits are no numbers in {dtype_name(hf.dtype)}"
        return _refusal(hf, reason, "set another model.dtype or choose another model")
    if not untouched < tolerance:
        return _refusal(
            hf, f"even untouched it decodes differently with its cache than without (by {untouched:.2g} sd)"
        )
    return _refusal(hf, f"an edited chain decodes differently with the cache than without (by {edited:.2g} sd)")


def probe_tokens(hf: PreTrainedModel) -> torch.Tensor:
    """A few fixed token ids [1, T] that spread over the vocabulary."""
    vocabulary = hf.config.get_text_config(decoder=True).vocab_size
    return (torch.arange(_PROBE_TOKENS, device=hf.device) * 7919 + 11)[None] % vocabulary


def _layer_lists(hf: PreTrainedModel, num_layers: int | None) -> dict[str, nn.ModuleList]:
    """Module lists with one entry per layer, by path; lists inside another such list (experts) do not count."""
    decoder = hf.get_decoder() if hasattr(hf, "get_decoder") else hf.base_model
    prefix = next((name for name, module in hf.named_modules() if module is decoder), "")
    found: dict[str, nn.ModuleList] = {}
    for name, module in decoder.named_modules(prefix=prefix):
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) == num_layers and not inside:
            found[name] = module
    return found


def _chain_list(layers: nn.ModuleList, chain: Chain) -> _ChainList:
    check_layers(chain, len(layers))
    copies = _ChainList([_copy_at(layers[layer], position) for position, layer in enumerate(chain)])
    copies.training = layers.training
    refuse_other_caches(copies[0], tuple(chain))
    return copies


def _copy_at(module: nn.Module, position: int) -> nn.Module:
    """A copy of the module tree that shares parameters and buffers, with every cache slot in it set to `position`."""
    copy = object.__new__(type(module))
    state = {
        key: value.copy() if "_hooks" in key and hasattr(value, "copy") else value
        for key, value in vars(module).items()
    }
    state["_modules"] = {name: child and _copy_at(child, position) for name, child in module._modules.items()}
    state |= {name: position for name in _SLOT_NAMES if name in state}
    state.pop("_compiled_call_impl", None)  # of `layer.compile()`: it would run the layer copied from, in its slot
    vars(copy).update(state)
    if "_hf_hook" in state:
        _wrap_in_hook(copy, state["forward"])
    return copy


def _is_patched(module: nn.Module) -> bool:
    """Whether the module has a `forward` of its own. A hook of accelerate (`device_map`) around its class's is no patch."""
    if "_hf_hook" in vars(module):
        return getattr(vars(module)["_old_forward"], "__func__", None) is not type(module).forward
    return "forward" in vars(module)


def _wrap_in_hook(copy: nn.Module, wrapper: functools.partial) -> None:
    """Puts the copy's own forward where accelerate's wrapper, which was copied, calls that of the module copied from."""
    own = MethodType(type(copy).forward, copy)
    vars(copy)["_old_forward"] = own
    vars(copy)["forward"] = functools.update_wrapper(functools.partial(wrapper.func, copy), own)


@contextmanager
def _adapted_configs(hf: PreTrainedModel, chain: Chain, num_layers: int) -> Iterator[None]:
    """The configs of the decoder say what `chain` needs; put back at the end."""
    before: list[tuple[PreTrainedConfig, str, Any]] = []
    try:
        for config in configs_of_layers(hf.config, num_layers):
            for name, value in per_layer_values(config, chain, num_layers).items():
                before.append((config, name, getattr(config, name)))
                setattr(config, name, value)
        yield
    finally:
        for config, name, value in reversed(before):
            setattr(config, name, value)


def _install_capture(hf: PreTrainedModel, holder_path: str) -> None:
    """Hook the model that holds the layers for `output_hidden_states` now.

    transformers does that once, at the first request. If that came inside a chain, the hooks would sit on the copies
    and be gone with them, and the model would return no hidden states ever after.
    """
    path = holder_path
    while not isinstance(holder := hf.get_submodule(path), PreTrainedModel):
        path = path.rpartition(".")[0]
    maybe_install_capturing_hooks(holder)


def _probe_chain(num_layers: int) -> list[int]:
    """A chain that skips layer 0, repeats a layer and loops a block, as far as there are layers for it.

    The first 9 layers are enough to meet every layer type of the hybrids, which come in patterns of 2 to 6.
    """
    rest = list(range(1, min(num_layers, 9))) or [0]
    return [rest[0], *rest, *rest[-2:]]


def _cache_error(hf: PreTrainedModel) -> float:
    """Median over positions of the largest cached-uncached difference, relative to the spread of the logits."""
    tokens = probe_tokens(hf)
    whole = hf(tokens, use_cache=False).logits.float()
    out = hf(tokens[:, :_PROBE_PREFIX], use_cache=True)
    name = cache_name(hf)
    if name is None or getattr(out, name, None) is None:
        raise _refusal(hf, "it hands back no key-value cache (a recurrent state, not attention)")
    steps = [out.logits]
    for position in range(_PROBE_PREFIX, _PROBE_TOKENS):
        out = hf(tokens[:, position : position + 1], use_cache=True, **{name: getattr(out, name)})
        steps.append(out.logits)
    difference = (whole - torch.cat(steps, dim=1).float()).abs().amax(-1) / whole.std(-1)
    return float(difference[:, _PROBE_PREFIX:].median())


def _refusal(hf: PreTrainedModel, reason: str, remedy: str = "choose another model") -> UserError:
    return UserError(f"Models of type '{hf.config.model_type}' cannot run chains: {reason}; {remedy}.")
