"""What models and layers call the cache that they are handed: `cache` since transformers 5.24, by other names before.

And which models can have none, and how they do without.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import DynamicCache, PreTrainedModel

from cola_search.errors import UserError

CACHE_NAMES = ("cache", "past_key_values", "past_key_value", "layer_past", "cache_params")


@functools.cache
def argument_names(forward: Callable) -> list[str]:
    """Names of the arguments of a class's `forward`, in order, `self` left out."""
    return list(inspect.signature(forward).parameters)[1:]


def cache_name(module: nn.Module) -> str | None:
    """The argument that the module takes its cache by, or else the first of its parts that takes one; None where none does."""
    for part in module.modules():
        names = argument_names(type(part).forward)
        if (found := next((name for name in CACHE_NAMES if name in names), None)) is not None:
            return found
    return None


def keeps_a_cache(hf: PreTrainedModel) -> bool:
    """Whether transformers can keep a cache for the layers in the config: not if none of them is attention, whose length it asks.

    That is so for some chains of hybrid families.
    """
    try:
        DynamicCache(config=hf.config.get_text_config(decoder=True)).get_seq_length()
    except ValueError:
        return False
    return True


def holds_tokens(cache: Any) -> bool:
    """Whether a pass with this cache continues earlier tokens. (A cache of recurrent states alone cannot say of how many.)"""
    try:
        return bool(cache.get_seq_length() > 0)
    except ValueError:  # no layer of it is attention
        return bool(cache.has_previous_state())


def refuse_other_caches(first: nn.Module, chain: tuple[int, ...]) -> None:
    """Has the first layer of a chain raise UserError for a cache that anything but this chain filled.

    The slots of a cache are positions, so under another chain they would be read, silently, as those of other layers.
    """
    name, names = cache_name(first), argument_names(type(first).forward)

    def check(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        cache = {**dict(zip(names, args, strict=False)), **kwargs}.get(name or "")
        if cache is None or getattr(cache, "filled_by", None) == chain:
            return
        if holds_tokens(cache):
            raise UserError(
                "This cache was filled by another chain or by the model without one, and its slots are of other layers here: "
                "begin with a new cache under each chain."
            )
        cache.filled_by = chain

    first.register_forward_pre_hook(check, with_kwargs=True)


@contextmanager
def without_cache(hf: PreTrainedModel) -> Iterator[None]:
    """Until the block ends every pass of `hf` and of its `generate` reads all tokens, whatever it is told of a cache."""
    model: Any = hf  # whose methods may not be set, says mypy
    generate = model.generate

    def uncached(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return args, {**kwargs, "use_cache": False}

    handle = hf.register_forward_pre_hook(uncached, with_kwargs=True)
    model.generate = lambda *args, **kwargs: generate(*args, **{**kwargs, "use_cache": False})
    try:
        yield
    finally:
        del model.generate
        handle.remove()
