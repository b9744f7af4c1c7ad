"""Hooks on a stock model that see the residual stream before and after every layer, and may change it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from cola_search.errors import UserError
from cola_search.model.anatomy import bind_call, hidden_name
from cola_search.model.surgery import find_layers


class LayerWatch(Protocol):
    """What wants to see the layers of a model."""

    def start(self, call: dict[str, Any]) -> None:
        """Told before every forward pass, with the arguments of the module that holds the layers."""

    def layer(self, index: int, hidden: Tensor, output: Tensor) -> Tensor | None:
        """Told after every layer, with the stream `[B, n, d]` before and after it; a tensor replaces the latter.

        Both are on the device of the first layer's input, whatever device a `device_map` runs this layer on.
        """


@contextmanager
def watch_layers(hf: PreTrainedModel, watch: LayerWatch) -> Iterator[None]:
    """Tells `watch` of every forward pass until the block ends. Layers are counted by their place in the model.

    With a chain, apply it outside: `with apply_chain(hf, chain), watch_layers(hf, watch)`. Raises UserError, at the
    first pass, for a model whose layers do not return the residual stream that the next layer reads.
    """
    path, layers = find_layers(hf)
    holder, name = hf.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]
    stream = _Stream(hf.config.model_type)

    def start(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        if getattr(module, name) is not layers:
            raise UserError("A chain was applied to a model whose layers are watched: apply the chain outside instead.")
        watch.start(bind_call(module, args, kwargs))

    def after(index: int) -> Callable[[nn.Module, tuple, dict[str, Any], Any], Any]:
        def hook(module: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
            hidden = bind_call(module, args, kwargs)[hidden_name(module)]
            new = output[0] if isinstance(output, tuple) else output
            stream.check(index, hidden, new)
            if index == 0:
                stream.home = hidden.device
            changed = watch.layer(index, hidden.to(stream.home), new.to(stream.home))
            changed = None if changed is None else changed.to(new.device)
            stream.last = new if changed is None else changed
            if changed is None:
                return None
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    handles = [holder.register_forward_pre_hook(start, with_kwargs=True)]
    handles += [layer.register_forward_hook(after(i), with_kwargs=True) for i, layer in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Stream:
    """Checks that what a layer returns is what the next one reads."""

    def __init__(self, model_type: str) -> None:
        self.model_type = model_type
        self.last: Tensor | None = None
        self.home = torch.device("cpu")

    def check(self, index: int, hidden: Tensor, output: Any) -> None:
        """Raises UserError where the output is not a stream like the input, or the input not the last output."""
        if not isinstance(output, Tensor) or output.shape != hidden.shape:
            self._refuse(f"layer {index} returns something else")
        assert self.last is not None or index == 0
        if index > 0 and hidden is not self.last and not torch.equal(hidden, self.last):  # type: ignore[arg-type]
            self._refuse(f"layer {index} reads something else than layer {index - 1} returns")

    def _refuse(self, reason: str) -> None:
        raise UserError(
            f"Models of type '{self.model_type}' have no voids: their layers do not return the residual stream "
            f"({reason}); choose another model."
        )
