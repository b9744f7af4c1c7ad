"""What a stock transformers model does around its layers, learnt by watching it, so that no family needs code of its own.

The model's own forward runs once with every layer replaced by a recorder. What each layer is handed (rotary tables, masks,
position ids, whatever the family passes) is kept and handed to the real layer when a chain runs it. The final norm and the
head are reached the same way: a forward whose only layer returns our rows.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from transformers import PreTrainedModel

from cola_search.model.caches import CACHE_NAMES, argument_names, cache_name
from cola_search.model.surgery import find_layers

LEAST_ROWS = 4  # of a product of matrices: on a CPU it adds up one row in another order than several, in float32 up to three rows


class AllSeen(Exception):
    """The last layer was called: nothing behind the layers need run."""


class Recorder(nn.Module):
    """Stands in for a layer: keeps what it is called with, and returns `answer` or its input; the last one ends the forward."""

    def __init__(self, layer: nn.Module, as_layer_output, answer: Tensor | None = None):
        super().__init__()
        self.__dict__["layer"] = layer  # not a submodule: `.to` and state dicts must not see it twice
        self.__dict__["as_layer_output"] = as_layer_output
        self.answer = answer
        self.is_last = False
        self.call: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["layer"], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.call = bind_call(self.__dict__["layer"], args, kwargs)
        if self.is_last:
            raise AllSeen
        hidden = self.call[hidden_name(self.__dict__["layer"])]
        return self.__dict__["as_layer_output"](hidden if self.answer is None else self.answer)


def bind_call(layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, the hidden state first."""
    return {**dict(zip(argument_names(type(layer).forward), args, strict=False)), **kwargs}


def hidden_name(layer: nn.Module) -> str:
    """What the layer calls its input: its first argument."""
    return argument_names(type(layer).forward)[0]


@dataclass
class LayerCalls:
    """What the layers of one forward are handed.

    hidden: input of layer 0, `[B, n, d]`.
    kinds: for each layer the index of its call in `calls`; layers that are handed the same objects share a kind.
    calls: per kind the arguments without hidden state, mask and cache.
    masks: per layer the mask as handed over (bool or additive float `[B, 1, n, n]`, or None for plain causal).
    """

    hidden: Tensor
    kinds: list[int]
    calls: list[dict[str, Any]]
    masks: list[Tensor | None]


class Anatomy:
    """The parts of a model around and between its layers.

    device: where states come from and go to: that of the embeddings, where a `device_map` has several.
    dtype: that of the states between the layers.
    """

    def __init__(self, hf: PreTrainedModel):
        self.hf = hf
        path, layers = find_layers(hf)
        self._parent = hf.get_submodule(path.rpartition(".")[0])
        self._name = path.rpartition(".")[2]
        self.layers: list[nn.Module] = list(layers)
        self.device = next(hf.parameters()).device
        self._cache_names = [cache_name(layer) or CACHE_NAMES[0] for layer in self.layers]
        self._watch_one_forward()
        self._tail = self._find_tail()

    @torch.inference_mode()
    def _watch_one_forward(self) -> None:
        """Learn whether layers return a tensor or a tuple, its width and dtype, the kind of mask and how many logits there are."""
        seen: dict[str, Any] = {}

        def watch(module, args, kwargs, output):
            seen.setdefault("output", output)
            seen.setdefault("call", bind_call(module, args, kwargs))

        handle = self.layers[0].register_forward_hook(watch, with_kwargs=True)
        try:
            ids = torch.zeros(1, 2, dtype=torch.long, device=self.device)
            self.vocabulary: int = self.hf(input_ids=ids, use_cache=False).logits.shape[-1]
        finally:
            handle.remove()
        rest = seen["output"][1:] if isinstance(seen["output"], tuple) else None
        self._as_layer_output = (lambda h: h) if rest is None else (lambda h: (h, *rest))
        self.hidden_name = hidden_name(self.layers[0])
        states: Tensor = seen["call"][self.hidden_name]
        self.width: int = states.shape[-1]
        self.dtype: torch.dtype = states.dtype  # a quantised layer keeps its weights in another
        mask = seen["call"].get("attention_mask")
        eager = self.hf.config._attn_implementation == "eager" or (mask is not None and mask.is_floating_point())
        self.additive_masks: bool = eager

    @contextlib.contextmanager
    def _replaced(self, layers: Sequence[nn.Module]) -> Iterator[None]:
        stock = getattr(self._parent, self._name)
        setattr(self._parent, self._name, nn.ModuleList(layers))
        try:
            yield
        finally:
            setattr(self._parent, self._name, stock)

    def watch_calls(self, ids: Tensor, positions: Tensor, mask: Tensor | None = None) -> LayerCalls:
        """What the layers would be handed for token ids `[B, n]` at positions `[B, n]`. Runs no layer."""
        recorders = [Recorder(layer, self._as_layer_output) for layer in self.layers]
        recorders[-1].is_last = True  # the head costs more than all else here
        with self._replaced(recorders), contextlib.suppress(AllSeen):
            self.hf(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False, logits_to_keep=1)
        kinds: list[int] = []
        calls: list[dict[str, Any]] = []
        known: dict[tuple, int] = {}
        for recorder in recorders:
            call = {
                k: v for k, v in recorder.call.items() if k not in (self.hidden_name, "attention_mask", *CACHE_NAMES)
            }
            key = tuple((k, id(v)) for k, v in call.items())
            if key not in known:
                known[key] = len(calls)
                calls.append(self._here(call))
            kinds.append(known[key])
        masks = [self._here(recorder.call.get("attention_mask")) for recorder in recorders]
        return LayerCalls(self._here(recorders[0].call[self.hidden_name]), kinds, calls, masks)

    def _here(self, value: Any) -> Any:
        """The value with every tensor in it on `device`, where the others are; a no-op unless a `device_map` has several."""
        return tree_map(lambda part: part.to(self.device) if isinstance(part, Tensor) else part, value)

    @torch.inference_mode()
    def _find_tail(self) -> list[nn.Module] | None:
        """The modules that alone make logits of final states, such as norm and head; None where more is done to them."""
        rng = torch.Generator().manual_seed(0)
        rows, others = (torch.randn(2, 5, self.width, generator=rng) * 4).to(self.device, self.dtype)
        tail: list[nn.Module] = []
        states: Any = rows[:, None]
        for module, given, output in self._calls_of_a_readout(rows):
            if equal(given, states):
                tail, states = [*tail, module], output
        if not isinstance(states, Tensor):
            return None
        same = all(equal(through(tail, some), self._whole_logits(some)) for some in (rows, others))
        return tail if same else None

    def _calls_of_a_readout(self, rows: Tensor) -> list[tuple[nn.Module, Any, Any]]:
        """Every module that is called, in order, with its first argument and its output."""
        calls: list[tuple[nn.Module, Any, Any]] = []

        def watch(module: nn.Module, args: tuple, output: Any) -> None:
            calls.append((module, args[0] if args else None, output))

        handles = [module.register_forward_hook(watch) for module in self.hf.modules()]
        try:
            self._whole_logits(rows)
        finally:
            for handle in handles:
                handle.remove()
        return calls

    def logits(self, rows: Tensor) -> Tensor:
        """Logits `[N, V]` of final hidden rows `[N, d]`: the model's own final norm, head and scaling."""
        some = enough(rows)
        found = self._whole_logits(some) if self._tail is None else through(self._tail, some)
        return found[: len(rows)]

    def _whole_logits(self, rows: Tensor) -> Tensor:
        """As `logits`, by a forward of the whole model whose only layer returns the rows."""
        # sequences of one token: as one sequence they may be more than the model has positions
        answer = Recorder(self.layers[0], self._as_layer_output, answer=rows[:, None])
        with self._replaced([answer]):
            ids = torch.zeros(len(rows), 1, dtype=torch.long, device=self.device)
            return self.hf(input_ids=ids, use_cache=False).logits[:, 0].to(rows.device)

    def run_layer(self, layer: int, hidden: Tensor, call: dict[str, Any], mask: Tensor, cache: Any = None) -> Tensor:
        """Output `[B, n, d]` of one layer; `mask` is bool `[B, 1, n, keys]`, True where attention may look.

        Keys and values stay on the layer's device; the output comes back to that of `hidden`.
        """
        call = dict(call)
        if "use_cache" in call:
            call["use_cache"] = cache is not None
        call[self._cache_names[layer]] = cache
        call["attention_mask"] = self.as_handed(mask)
        output = self.layers[layer](hidden, **call)
        return (output[0] if isinstance(output, tuple) else output).to(hidden.device)

    def as_handed(self, mask: Tensor) -> Tensor:
        """The mask in the form that the model's attention takes: bool, or 0 and the lowest float."""
        if not self.additive_masks:
            return mask
        low = torch.finfo(self.dtype).min
        return torch.zeros(mask.shape, dtype=self.dtype, device=mask.device).masked_fill_(~mask, low)


def enough(rows: Tensor) -> Tensor:
    """Rows `[N, ...]`, the last one again and again where there are less than LEAST_ROWS of them."""
    if len(rows) == 1:
        return rows.expand(LEAST_ROWS, *rows.shape[1:])  # no copy
    missing = LEAST_ROWS - len(rows)
    return rows if missing <= 0 else torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])


def equal(one: Any, other: Any) -> bool:
    """Whether both are tensors with the same shape and values, wherever they are."""
    tensors = isinstance(one, Tensor) and isinstance(other, Tensor)
    return tensors and one.shape == other.shape and torch.equal(one.to(other.device), other)


def through(modules: Sequence[nn.Module], rows: Tensor) -> Tensor:
    """What the modules make of rows `[N, d]` one after the other, `[N, width]` on the rows' device."""
    states = rows[:, None]
    for module in modules:
        states = module(states)
    return states[:, 0].to(rows.device)
