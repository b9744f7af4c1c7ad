"""What models and layers call the cache that they are handed: `cache` since transformers 5.24, by other names before."""

import functools
import inspect
from collections.abc import Callable

from torch import nn

CACHE_NAMES = ("cache", "past_key_values", "past_key_value", "layer_past")


@functools.cache
def argument_names(forward: Callable) -> list[str]:
    """Names of the arguments of a class's `forward`, in order, `self` left out."""
    return list(inspect.signature(forward).parameters)[1:]


def cache_name(module: nn.Module) -> str | None:
    """What the module calls its cache, or what the first part does that it may pass it on to; None where none takes one."""
    for part in module.modules():
        names = argument_names(type(part).forward)
        if (found := next((name for name in CACHE_NAMES if name in names), None)) is not None:
            return found
    return None
