"""experiments/bench_profile.py: every operation has a kind, and what no operation takes is Python."""

import pytest
from bench_profile import kind_of, shares


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
    assert found["matrix products"] == pytest.approx(0.6) and found["python"] == pytest.approx(0.3)
    assert sum(found.values()) == pytest.approx(1)
