"""What `experiments/scale.py` claims, in small."""

import scale


def costs(record: float, sync: float = 0.0) -> dict[str, float]:
    return {"ray_call_seconds": 0.0, "record_seconds": record, "sync_seconds": sync}


def test_one_driver_keeps_a_thousand_replicas_busy_also_where_an_fsync_is_slow() -> None:
    for sync in (0.001, 0.02):
        row = scale.simulate(1000, 30_000, 10.0, costs(0.001, sync), starts_over=0.0)
        assert row.busy > 0.97


def test_a_driver_that_is_too_slow_shows_as_idle_replicas() -> None:
    row = scale.simulate(1000, 10_000, 10.0, costs(0.05), starts_over=0.0)
    assert row.busy < 0.3 and row.samples_per_second < 21


def test_the_table_has_a_line_for_each_row() -> None:
    rows = [scale.simulate(2, 10, 1.0, costs(0.001)), scale.simulate(3, 10, 1.0, costs(0.001))]
    text = scale.table(costs(0.002), rows)
    assert text.count("| simulated |") == 2 and "about 500 samples a second" in text
