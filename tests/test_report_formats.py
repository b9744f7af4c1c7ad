"""The peers' files, read back by the rules of their own programs (PoLar's loader, Dr.LLM's trainer)."""

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_fixture import make_record, synthetic_records

from cola_search.chain import Chain
from cola_search.report.formats import fits_drllm, fits_polar, judged_chains, write_drllm, write_polar

NUM_LAYERS = 6
CHAINS = st.lists(st.integers(0, NUM_LAYERS - 1), min_size=1, max_size=14).map(Chain)
FULL = ("0-5", 1, 0.5, 6.0)


def polar_parse(path: list[int], depth: int) -> list[tuple[int, str]] | None:
    """Segments (size, operation) that PoLar's loader would find for a path, None where it drops the path."""

    @cache
    def parse(layer: int, position: int) -> list[tuple[int, str]] | None:
        if layer == depth:
            return [] if position == len(path) else None
        for size in range(1, min(4, depth - layer) + 1):
            block = list(range(layer, layer + size))
            for operation, ran in (("skip", []), ("keep", block), ("repeat", block * 2)):
                if path[position : position + len(ran)] == ran:
                    rest = parse(layer + size, position + len(ran))
                    if rest is not None:
                        return [(size, operation), *rest]
        return None

    return parse(0, 0)


def drllm_execute(labels: list[int]) -> list[int]:
    """The layers that a Dr.LLM router with these labels runs, in order."""
    return [layer for layer, label in enumerate(labels) for _ in range(label)]


@given(CHAINS)
def test_polar_expresses_exactly_the_chains_that_its_loader_keeps(chain):
    assert fits_polar(chain, NUM_LAYERS) == (polar_parse(list(chain), NUM_LAYERS) is not None)


@given(CHAINS)
def test_drllm_expresses_exactly_the_chains_that_labels_give_back(chain):
    counts = chain.counts(NUM_LAYERS)
    expressible = max(counts) <= 2 and drllm_execute(list(counts)) == list(chain)
    assert fits_drllm(chain, NUM_LAYERS) == expressible


@pytest.mark.parametrize(
    ("text", "polar", "drllm"),
    [
        ("0-5", True, True),
        ("0-1 4-5", True, True),
        ("0-1 (2)x2 3-5", True, True),
        ("0-1 (2-3)x2 4-5", True, False),
        ("0 (1-4)x2 5", True, False),
        ("(0-4)x2 5", False, False),
        ("0-1 (2)x3 3-5", False, False),
        ("0-3 2-5", True, False),
        ("0 (1)x2 (2)x2 3", True, True),
        ("3-5 0-2", False, False),
    ],
)
def test_what_each_format_can_say(text, polar, drllm):
    chain = Chain.parse(text)
    assert (fits_polar(chain, NUM_LAYERS), fits_drllm(chain, NUM_LAYERS)) == (polar, drllm)


def test_polar_reads_its_file_back(tmp_path: Path):
    records = synthetic_records(45, evaluations=20)
    counts = write_polar(records, tmp_path / "merged_mcts_samples.json")
    data = json.loads((tmp_path / "merged_mcts_samples.json").read_text(encoding="utf-8"))
    samples = data["samples"]
    assert len(samples) == counts["samples"] == 44 and counts["failed"] == 1
    for sample in samples:
        assert sample["question"] and sample["gt_ans"] and isinstance(sample["initial_score"], float)
        for path in [*sample["final_valid_transitions"], *sample["final_invalid_transitions"]]:
            assert all(type(layer) is int for layer in path)
            assert polar_parse(path, 30) is not None
    paths = [path for sample in samples for path in sample["final_valid_transitions"]]
    assert len(paths) == counts["valid"] == data["counts"]["valid"]


def test_polar_lists_every_judged_chain_or_counts_it_as_not_expressible(tmp_path: Path):
    records = synthetic_records(20)
    counts = write_polar(records, tmp_path / "polar.json")
    judged = [right for record in records if record.error is None for right in judged_chains(record).values()]
    assert counts["valid"] + counts["valid_not_expressible"] == sum(judged)
    assert counts["invalid"] + counts["invalid_not_expressible"] == len(judged) - sum(judged)
    assert counts["valid_not_expressible"] > 0


def test_the_base_score_of_polar_is_the_verdict_on_the_whole_model(tmp_path: Path):
    records = [make_record("a", [FULL]), make_record("b", [("0-5", 0, -0.5, 6.0)])]
    write_polar(records, tmp_path / "polar.json")
    samples = json.loads((tmp_path / "polar.json").read_text())["samples"]
    assert [sample["initial_score"] for sample in samples] == [1.0, 0.0]
    assert [sample["final_valid_transitions"] for sample in samples] == [[[0, 1, 2, 3, 4, 5]], []]


def test_a_chain_that_verification_refused_is_no_valid_path(tmp_path: Path):
    record = make_record("a", [FULL, ("0-3", 1, 0.1, 10.0)], best="0-3", verified=False)
    write_polar([record], tmp_path / "polar.json")
    sample = json.loads((tmp_path / "polar.json").read_text())["samples"][0]
    assert [0, 1, 2, 3] in sample["final_invalid_transitions"]


def test_an_empty_run_gives_files_that_can_be_read(tmp_path: Path):
    write_polar([], tmp_path / "polar.json")
    write_drllm([], tmp_path / "drllm.json")
    assert json.loads((tmp_path / "polar.json").read_text())["samples"] == []
    assert json.loads((tmp_path / "drllm.json").read_text())["questions"] == []


def test_drllm_reads_its_file_back(tmp_path: Path):
    counts = write_drllm(synthetic_records(45), tmp_path / "drllm.json")
    data = json.loads((tmp_path / "drllm.json").read_text(encoding="utf-8"))
    lists = [
        data[name] for name in ("questions", "best_path", "best_response", "original_correct", "optimal_layer_config")
    ]
    assert {len(values) for values in lists} == {counts["samples"]}
    for labels, path in zip(data["optimal_layer_config"], data["best_path"], strict=True):
        assert len(labels) == data["num_layers"] == 30 and set(labels) <= {0, 1, 2}
        assert drllm_execute(labels) == path
        assert [path.count(layer) for layer in range(30)] == labels  # how the released trainer derives its labels
        assert all(before <= after for before, after in pairwise(path))


def test_drllm_takes_the_shortest_right_chain_that_labels_can_say(tmp_path: Path):
    block = ("0 (4-5)x2", 1, 0.2, 11.0)
    record = make_record("a", [FULL, block, ("0-4", 1, 0.1, 18.0)], best="0 (4-5)x2")
    counts = write_drllm([record], tmp_path / "drllm.json")
    data = json.loads((tmp_path / "drllm.json").read_text())
    assert data["optimal_layer_config"] == [[1, 1, 1, 1, 1, 1]]  # verified; 0-4 is shorter, but only the search saw it
    assert data["verified"] == [True]
    assert counts["right_not_expressible"] == 1 and counts["best_not_expressible"] == 1


def test_drllm_says_when_its_chain_was_not_verified(tmp_path: Path):
    record = make_record("a", [("0-5", 0, -0.5, 6.0), ("0-3", 1, 0.1, 10.0)], best="0-3", verified=None)
    write_drllm([record], tmp_path / "drllm.json")
    data = json.loads((tmp_path / "drllm.json").read_text())
    assert data["best_path"] == [[0, 1, 2, 3]] and data["verified"] == [None]


def test_a_sample_whose_right_chains_labels_cannot_say_is_left_out_and_counted(tmp_path: Path):
    record = make_record("a", [("0-5", 0, -0.5, 6.0), ("0 (4-5)x2", 1, 0.2, 11.0)], best="0 (4-5)x2")
    counts = write_drllm([record, make_record("b", [("0-5", 0, -0.5, 6.0)])], tmp_path / "drllm.json")
    assert json.loads((tmp_path / "drllm.json").read_text())["questions"] == []
    assert (counts["left_out"], counts["no_right_chain"], counts["best_not_expressible"]) == (1, 1, 1)


def test_every_refuted_chain_is_an_invalid_path_of_polar_and_no_path_of_drllm(tmp_path: Path):
    rows = [("0-5", 0, -0.5, 6.0), ("0-3", 1, 0.1, 10.0), ("0-4", 1, 0.1, 15.0)]
    record = replace(make_record("a", rows, best="0-4"), verified={"0-5": False, "0-3": False, "0-4": True})
    counts = write_polar([record], tmp_path / "polar.json")
    write_drllm([record], tmp_path / "drllm.json")
    assert (counts["valid"], counts["invalid"]) == (1, 2)
    assert json.loads((tmp_path / "drllm.json").read_text())["best_path"] == [[0, 1, 2, 3, 4]]
