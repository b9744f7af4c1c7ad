"""The records as Parquet."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from report_fixture import make_record, synthetic_records

from cola_search.chain import Chain
from cola_search.records import Record
from cola_search.report.parquet import ROWS_AT_ONCE, SCHEMA, write_parquet


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], list[dict]]:
    records = synthetic_records(42, evaluations=12)
    path = tmp_path_factory.mktemp("parquet") / "records.parquet"
    write_parquet(records, path)
    return records, pq.read_table(path).to_pylist()


def test_there_is_one_row_a_sample_with_every_field_of_the_record(written):
    records, rows = written
    assert [row["sample"] for row in rows] == [record.sample for record in records]
    assert set(Record.__dataclass_fields__) <= set(SCHEMA.names)


def test_chains_come_back_with_their_verdicts_and_layers(written):
    for record, row in zip(*written, strict=True):
        assert [entry["chain"] for entry in row["chains"]] == [entry.chain for entry in record.chains]
        assert [entry["correct"] for entry in row["chains"]] == [bool(entry.correct) for entry in record.chains]
        assert all(tuple(entry["layers"]) == Chain.parse(entry["chain"]) for entry in row["chains"])


def test_answers_are_text_with_the_index_beside_it(written):
    record, row = written[0][0], written[1][0]
    assert row["gold"] == record.choices[record.gold] and row["gold_index"] == record.gold
    assert row["base"]["prediction_index"] == record.base.prediction
    assert record.best is not None
    assert (row["best"]["prediction"], row["best"]["prediction_index"]) == (row["gold"], record.gold)
    assert dict(row["controls"])["decoy"]["target"] in record.choices


def test_a_generated_answer_is_text_without_an_index(tmp_path: Path):
    records = synthetic_records(1, generated=True, evaluations=4)
    write_parquet(records, tmp_path / "records.parquet")
    (row,) = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert row["gold"] == records[0].gold and row["gold_index"] is None
    assert row["chains"][0]["margin"] is None


def test_a_sample_that_failed_has_its_error_and_no_best_chain(written):
    failed = written[1][39]
    assert failed["outcome"] == "error" and "out of memory" in failed["error"]
    assert failed["base"] is None and failed["best"] is None and failed["chains"] == []


def test_more_records_than_one_batch_are_all_written(tmp_path: Path):
    record = synthetic_records(1, evaluations=2)[0]
    assert write_parquet([record] * (ROWS_AT_ONCE + 3), tmp_path / "records.parquet") == {"samples": ROWS_AT_ONCE + 3}
    assert pq.read_metadata(tmp_path / "records.parquet").num_rows == ROWS_AT_ONCE + 3


def test_a_verified_verdict_stands_beside_that_of_the_search(tmp_path: Path):
    record = make_record("a", [("0-5", 0, -0.5, 6.0), ("0-3", 1, 0.1, 10.0), ("0-4", 1, 0.1, 15.0)], best="0-4")
    write_parquet([replace(record, verified={"0-5": False, "0-3": False, "0-4": True})], tmp_path / "records.parquet")
    (row,) = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert [(chain["correct"], chain["verified"]) for chain in row["chains"]] == [
        (False, False),
        (True, False),
        (True, True),
    ]
    assert dict(row["verified"]) == {"0-5": False, "0-3": False, "0-4": True}
