"""Which precision a setting means, and what it is called."""

import pytest
import torch

from cola_search.model.precision import dtype_name, is_low, pick_dtype


def test_auto_dtype_is_bfloat16_only_where_the_cpu_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for able, expected in (({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able, raising=False)  # torch 2.6 has none
        assert pick_dtype("auto", cpu) == expected
    assert pick_dtype("float16", cpu) == torch.float16


def test_a_dtype_is_called_as_settings_name_it_and_all_but_float32_and_float64_are_low() -> None:
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        assert pick_dtype(dtype_name(dtype), torch.device("cpu")) == dtype
        assert is_low(dtype) == (dtype.itemsize == 2)
