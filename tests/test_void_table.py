"""The table of the Void paper from rows of single items."""

import pytest
from void_table import KEY, pictures, summarize, table, usage_of

ITEMS = ["a", "b", "c", "d"]


def rows(how: str, verdicts: list[int | None], alpha: float = 0.8, task: str = "boolq", rg: int = 1) -> list[dict]:
    key = dict(zip(KEY, ("m/x", task, "s", how, alpha, "pp+rg", "signed", ""), strict=True))
    return [
        {**key, "sample": name, "correct": verdict, "pp": [4, 4, 2], "rg": [rg, rg, 0]}
        for name, verdict in zip(ITEMS, verdicts, strict=True)
    ]


def test_a_cell_counts_right_answers_and_sets_errors_apart():
    (cell,) = summarize(rows("none", [1, 0, None, 1]))
    assert (cell.accuracy.count, cell.accuracy.of, cell.errors) == (2, 3, 1)


def test_usage_is_the_share_over_all_tokens_with_an_interval_over_items():
    usage = usage_of([[10, 10, 0], [30, 30, 30]])
    assert usage is not None
    assert usage.used == pytest.approx((10 + 60) / 80) and usage.by_layer == [1.0, 0.75]
    assert usage.low == pytest.approx(0.5) and usage.high == pytest.approx(1.0)


def test_a_phase_without_tokens_has_no_usage():
    assert usage_of([[0, 0, 0]] * 3) is None


def test_the_table_has_a_line_a_model_and_alpha_and_four_columns_a_task():
    cells = summarize(
        rows("none", [1, 1, 0, 0])
        + rows("readout", [0, 0, 1, 0], rg=0)
        + rows("bypass", [1, 0, 0, None])
        + rows("readout", [1, 1, 1, 0], alpha=0.4)
    )
    head, _, *lines = table(cells).splitlines()
    assert [part.strip() for part in head.split("|")[4:-1]] == [
        "boolq: no skip",
        "boolq: skip",
        "boolq: PP",
        "boolq: RG",
    ]
    shown = [[part.strip() for part in line.split("|")[1:-1]] for line in lines]
    assert [line[1:3] for line in shown] == [["bypass", "0.8"], ["readout", "0.4"], ["readout", "0.8"]]
    assert shown[2][3] == "50.0 (15.0–85.0)"
    assert shown[2][4] == "25.0 (4.6–69.9) [−2 +1]"
    assert shown[2][5:] == ["75 (75–75)", "–"]
    assert shown[0][6] == "50 (50–50)"


def test_a_task_that_was_not_run_for_a_line_is_a_dash():
    cells = summarize(rows("none", [1] * 4) + rows("readout", [1] * 4) + rows("none", [1] * 4, task="mmlu"))
    assert table(cells).splitlines()[2].count("–") >= 3


def test_pictures_are_named_by_way_and_model_and_drawn_at_the_alpha_nearest_to_the_papers():
    cells = summarize(rows("readout", [1] * 4, alpha=0.3) + rows("readout", [1] * 4, alpha=0.7))
    drawn = pictures(cells)
    assert set(drawn) == {"readout_alpha", "readout_m_x"}
    assert "alpha 0.7" in drawn["readout_m_x"]
