"""The schema of a record, its line of JSON, and the reader."""

import json
import math
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from record_fixture import decoy, record

from cola_search.errors import UserError
from cola_search.records import SCHEMA, BaseVerdict, Evaluated, Record, VoidPrior, read_records


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_record_comes_back_from_its_line_as_it_was() -> None:
    for kept in (record(), record(right=False, best=15, controls=decoy(True, 9)), record(best=None, right=False)):
        assert Record.from_dict(json.loads(kept.to_line())) == kept


def test_the_voids_behind_a_prior_come_back_from_their_line() -> None:
    kept = record(prior=VoidPrior(phase="pp", alpha=0.8, voids=[0.25] * 12))
    assert Record.from_dict(json.loads(kept.to_line())) == kept


def test_a_line_says_its_schema_and_version_and_the_contract_of_its_rows() -> None:
    line = json.loads(record().to_line())
    assert (line["schema"], line["version"]) == (SCHEMA, record().version)
    assert line["chains"] == [["0-11", 1, -0.25, 12.0], ["0-8", 1, 0.5, 21.0]]
    assert line["tree"] == [[-1, 0, 2, 0.5], [0, 1, 1, 1.0]]
    assert line["counts"]["first_fix"] is None


def test_what_is_no_number_in_json_becomes_null() -> None:
    chains = [Evaluated("0-11", 0, math.nan, 12.0), Evaluated("0-3", 0, -math.inf, 16.0)]
    line = json.loads(record(chains=chains).to_line())
    assert [row[2] for row in line["chains"]] == [None, None]


def test_numpy_scalars_are_written_as_numbers() -> None:
    chains = [Evaluated("0-11", int(np.int64(1)), np.float32(0.5), np.float64(12.0))]
    base = BaseVerdict(correct=np.bool_(True), prediction=np.int64(2), margin=np.float32(0.5), verified=None)
    line = json.loads(record(chains=chains, base=base).to_line())
    assert line["chains"] == [["0-11", 1, 0.5, 12.0]]
    assert line["base"] == {"correct": True, "prediction": 2, "margin": 0.5, "verified": None}


def test_text_of_any_script_and_line_ends_stays_one_line(tmp_path: Path) -> None:
    odd = record(question="two\nlines \u2028 and ‮ and \x00 and 🌍")
    path = write(tmp_path / "records.jsonl", odd.to_line())
    assert [kept.question for kept in read_records(path)] == [odd.question]


def test_a_chain_of_a_record_that_did_not_keep_answers_has_none() -> None:
    line = json.loads(record(best=9).to_line())
    for found in (line["best"], *line["front"]):
        del found["prediction"]
    assert Record.from_dict(line).best.prediction is None


def test_the_verified_verdict_is_the_one_that_counts() -> None:
    base = BaseVerdict(correct=True, prediction=0, margin=None, verified=False)
    assert (base.right, replace(base, verified=None).right) == (False, True)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "records.jsonl", record("a").to_line(), record("b").to_line())
    path.write_bytes(path.read_bytes()[:-20])
    assert [kept.sample for kept in read_records(path)] == ["a"]


def test_a_damaged_line_in_the_middle_is_refused_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "records.jsonl", record("a").to_line(), record("b").to_line()[:-9], record("c").to_line())
    with pytest.raises(UserError, match="line 2 is damaged"):
        list(read_records(path))


def test_a_record_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    line = json.loads(record().to_line()) | {"schema": SCHEMA + 1, "version": "9.9", "new_field": 1}
    with pytest.raises(UserError, match=r"cola_search 9\.9.*upgrade"):
        list(read_records(write(tmp_path / "records.jsonl", json.dumps(line))))


def test_a_record_that_lacks_a_field_is_refused_by_its_sample(tmp_path: Path) -> None:
    line = json.loads(record("s7").to_line())
    del line["counts"]["simulations"]
    with pytest.raises(UserError, match="'s7' is not a record"):
        list(read_records(write(tmp_path / "records.jsonl", json.dumps(line))))


def test_reading_many_records_takes_the_memory_of_few(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = write(tmp_path / f"{count}.jsonl", *(record(f"s{index}").to_line() for index in range(count)))
        tracemalloc.start()
        assert sum(1 for _ in read_records(path)) == count
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(4000) < 1.5 * peak(400)


def test_a_record_of_the_first_schema_is_read_without_probes() -> None:
    line = json.loads(record().to_line()) | {"schema": 1}
    del line["probes"]
    assert (Record.from_dict(line).schema, Record.from_dict(line).probes) == (1, {})


def test_a_record_of_the_second_schema_is_read_with_the_verdicts_that_it_keeps_of_its_base_and_its_found_chains() -> (
    None
):
    line = json.loads(record(right=False, best=9).to_line()) | {"schema": 2}
    del line["verified"]
    line["chains"][0][1] = 1  # the search called the base right, stock transformers did not
    line["front"].append({**line["front"][0], "chain": "0-3", "verified": None})
    kept = Record.from_dict(line)
    assert (kept.schema, kept.verified) == (2, {"0-11": False, "0-8": True})
    assert [kept.is_right(row) for row in kept.chains] == [False, True]
