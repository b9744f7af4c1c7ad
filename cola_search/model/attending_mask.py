"""A mask that says how attention under it is to be done, for every family that calls torch's attention with its mask."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch._C import DisableTorchFunctionSubclass
from torch.nn.functional import scaled_dot_product_attention as attend

# takes query, key, value and the plain mask, and by name what else torch's attention takes
Attention = Callable[..., Tensor]
# what comes out of these in the same shape is the same mask
KEEPS = {Tensor.to, Tensor.__getitem__, Tensor.contiguous, Tensor.expand}


class AttendingMask(Tensor):
    """A mask `[B, 1, Q, K]`; torch's attention with it is done by `attention`, all else finds a mask like any other."""

    attention: Attention

    @staticmethod
    def of(mask: Tensor, attention: Attention) -> "AttendingMask":
        """The mask with its own way to attend."""
        made = Tensor._make_subclass(AttendingMask, mask)
        made.attention = attention
        return made

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with DisableTorchFunctionSubclass():
            if func is attend:
                return _attend(*args, **kwargs)
            found = func(*args, **kwargs)
        same = func in KEEPS and isinstance(args[0], cls) and found.shape == args[0].shape
        return cls.of(found, args[0].attention) if same else found


def _attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: AttendingMask, **rest: Any) -> Tensor:
    return attn_mask.attention(query, key, value, attn_mask.as_subclass(Tensor), **rest)
