"""experiments/bench_profile.py: every operation has a kind, and every library is the interpreter's or not."""

import pytest
from bench_profile import interpreter_share, kind_of, shares


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::mm", "matrix products"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::amax", "softmax of the head"),
        ("aten::index_copy_", "moving rows"),
        ("aten::topk", "softmax of the head"),
        ("aten::mul", "other operations"),
        ("aten::silu", "other operations"),
    ],
)
def test_an_operation_is_told_by_its_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_the_shares_are_those_of_all_the_time() -> None:
    found = shares({"aten::mm": 5.0, "aten::mul": 1.0, "aten::addmm": 1.0}, 10.0)
    assert found["matrix products"] == pytest.approx(0.6) and found["between"] == pytest.approx(0.3)
    assert sum(found.values()) == pytest.approx(1)


def test_the_interpreter_is_python_the_binding_of_torch_and_numpy() -> None:
    libraries = {"libpython3.11.so.1.0": 0.1, "python3.12": 0.2, "libtorch_python.so": 0.05, "libtorch_cpu.so": 0.4}
    more = {"_multiarray_umath.cpython-311-x86_64-linux-gnu.so": 0.01, "[JIT] tid 7": 0.24}
    assert interpreter_share(libraries | more) == pytest.approx(0.36)
