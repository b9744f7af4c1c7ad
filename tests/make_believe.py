"""Devices that are not there: CPU tensors that pass for GPU ones, so that mixing devices is noticed without a GPU."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

MOVES = (Tensor.to, Tensor.copy_)  # what may take from one device to another
INDEXING = (Tensor.__getitem__, Tensor.__setitem__)  # what a GPU tensor may be told from the host
READS = (Tensor.numpy, Tensor.__array__)  # what only a host tensor has
WAITS = (Tensor.tolist, Tensor.item, Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.cpu)
HOST = torch.device("cpu")


class MakeBelieve(TorchFunctionMode):
    """Inside the block a tensor is where `.to` or `device=` sent it. RuntimeError where an operation mixes two devices.

    waits: the functions that asked a GPU for values so far, and so waited for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self.waits: list[str] = []

    def put(self, tensor: Tensor, device: str) -> None:
        self.places[tensor] = torch.device(device)

    def put_model(self, hf: torch.nn.Module, device: str) -> None:
        for tensor in (*hf.parameters(), *hf.buffers()):
            self.put(tensor, device)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return self.places.get(args[0], torch.device("cpu"))
        target = options.pop("device", None)
        if func is Tensor.to and len(args) > 1 and isinstance(args[1], str | int | torch.device):
            target, args = args[1], (args[0], *args[2:])
        tensors = [t for t in tree_leaves((args, options)) if isinstance(t, Tensor)]
        places = {self.places[t] for t in tensors if t in self.places}
        self._check(func, tensors, places, moves=target is not None)
        place = torch.device(target) if target is not None else next(iter(places), None)
        if func is Tensor.cpu:
            place = None
        out = func(*args, **options)
        if func is Tensor.to and out is args[0] and place not in places:
            out = out.view_as(out)  # a move gives another tensor: the old one stays where it is
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._note(leaf, place)
        return out

    def _check(self, func: Callable[..., Any], tensors: list[Tensor], places: set[torch.device], moves: bool) -> None:
        if not places or moves or func in MOVES:
            return
        if func in READS:
            raise RuntimeError(f"{func} of a tensor on {places}")
        if func in WAITS:
            self.waits.append(func.__name__)
        told = func in INDEXING and tensors[0] in self.places
        # a mask that stands for attention (attention.py) is a subclass, and sees to its device itself
        hosts = [t for t in tensors if t not in self.places and t.dim() and type(t) in (Tensor, torch.nn.Parameter)]
        if len(places) + bool(hosts and not told) > 1:
            raise RuntimeError(f"{func} mixes {sorted(map(str, places | ({HOST} if hosts else set())))}")

    def _note(self, tensor: Tensor, place: torch.device | None) -> None:
        if place is None or place.type == "cpu":
            self.places.pop(tensor, None)
        else:
            self.places[tensor] = place
