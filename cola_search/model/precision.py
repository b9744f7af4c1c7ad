"""The precision that a model computes in: what a setting means here, what messages call it, and whether it is low."""

import torch


def pick_dtype(text: str, device: torch.device) -> torch.dtype:
    """The dtype that a text names; auto is bfloat16 where the device multiplies it natively, else float32."""
    if text != "auto":
        return getattr(torch, text)  # type: ignore[no-any-return]
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not in older torch
        native = device.type == "cpu" and bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return torch.bfloat16 if native else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """`bfloat16`, as settings name it."""
    return str(dtype).removeprefix("torch.")


def is_low(dtype: torch.dtype) -> bool:
    """Whether rounding alone may visibly change logits: in all but float32 and float64."""
    return dtype not in (torch.float32, torch.float64)
