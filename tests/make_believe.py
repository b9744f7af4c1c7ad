"""Devices that are not there: CPU tensors that pass for GPU ones, so that mixing two GPUs is noticed without any."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

MOVES = (Tensor.to, Tensor.copy_)  # what may take from one device to another


class MakeBelieve(TorchFunctionMode):
    """Inside the block a tensor is where `.to` or `device=` sent it. RuntimeError where an operation mixes two devices."""

    def __init__(self) -> None:
        super().__init__()
        self.places: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def put(self, tensor: Tensor, device: str) -> None:
        self.places[tensor] = torch.device(device)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return self.places.get(args[0], torch.device("cpu"))
        target = options.pop("device", None)
        if func is Tensor.to and len(args) > 1 and isinstance(args[1], str | int | torch.device):
            target, args = args[1], (args[0], *args[2:])
        places = {self.places[t] for t in tree_leaves((args, options)) if isinstance(t, Tensor) and t in self.places}
        if len(places) > 1 and func not in MOVES:
            raise RuntimeError(f"{func} mixes {sorted(map(str, places))}")
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

    def _note(self, tensor: Tensor, place: torch.device | None) -> None:
        if place is None or place.type == "cpu":
            self.places.pop(tensor, None)
        else:
            self.places[tensor] = place
