"""The records in other programs' formats: Parquet, and the supervision files of PoLar and of Dr.LLM.

The two peers can say less than a chain can. What a file leaves out is counted in it and returned.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cola_search.chain import Chain
from cola_search.records import Record
from cola_search.whole_file import whole, write_whole

MAX_SEGMENT = 4
"""Most layers of one segment of PoLar."""


def judged_chains(record: Record) -> dict[Chain, bool]:
    """Every chain with a verdict, in the order of the search; where a chain was verified, that verdict counts."""
    return {Chain.parse(row.chain): record.is_right(row) for row in record.chains if row.correct is not None}


def fits_polar(chain: Chain, num_layers: int) -> bool:
    """Whether PoLar can say the chain: segments of at most 4 layers in order, each skipped, kept, or run twice.

    PoLar, section 3 (arxiv.org/abs/2606.06574). To skip or keep a long segment is to skip or keep its layers, so
    only repeats need the size of the segment here.
    """
    ends = {0}  # positions of the chain at which the layers before `layer` may end
    reached = {0: ends}
    for layer in range(num_layers):
        for position in reached.get(layer, ()):
            reached.setdefault(layer + 1, set()).add(position)
            if chain[position : position + 1] == (layer,):
                reached[layer + 1].add(position + 1)
            for size in range(1, min(MAX_SEGMENT, num_layers - layer) + 1):
                block = tuple(range(layer, layer + size))
                if chain[position : position + 2 * size] == block + block:
                    reached.setdefault(layer + size, set()).add(position + 2 * size)
    return len(chain) in reached.get(num_layers, ())


def fits_drllm(chain: Chain, num_layers: int) -> bool:
    """Whether Dr.LLM can say the chain: layers in order, each skipped, run once, or run twice in a row.

    Dr.LLM, section 4 (arxiv.org/abs/2510.12773). A label belongs to one layer, so it cannot say that a block repeats.
    """
    return list(chain) == sorted(chain) and max(chain.counts(num_layers)) <= 2


def write_polar(records: Iterable[Record], path: Path) -> dict[str, int]:
    """Writes the supervision file that PoLar trains on, and returns its counts; the file is written as a stream.

    One object a sample with `question`, `gt_ans`, `initial_score`, `final_valid_transitions` and
    `final_invalid_transitions` (PoLar, appendix D and the authors' README). Samples that failed are left out.
    """
    counts = Counter(samples=0, failed=0, valid=0, valid_not_expressible=0, invalid=0, invalid_not_expressible=0)

    def rows() -> Iterator[dict[str, Any]]:
        for record in records:
            counts["failed" if record.base_right is None else "samples"] += 1
            if record.base_right is not None:
                yield _polar_sample(record, counts)

    _write_stream(path, "samples", rows(), lambda: {"counts": dict(counts)})
    return dict(counts)


def _polar_sample(record: Record, counts: Counter[str]) -> dict[str, Any]:
    lists: dict[bool, list[list[int]]] = {True: [], False: []}
    for chain, right in judged_chains(record).items():
        kind = "valid" if right else "invalid"
        if fits_polar(chain, record.num_layers):
            counts[kind] += 1
            lists[right].append(list(chain))
        else:
            counts[f"{kind}_not_expressible"] += 1
    return {
        "sample_id": record.sample,
        "question": record.question,
        "gt_ans": record.answer_text(record.gold) or "",
        "initial_score": float(bool(record.base_right)),
        "final_valid_transitions": lists[True],
        "final_invalid_transitions": lists[False],
    }


def _write_stream(path: Path, key: str, rows: Iterable[dict[str, Any]], rest: Callable[[], dict[str, Any]]) -> None:
    """One JSON object: a long list under `key`, written item by item, then what `rest` says when the list is done."""
    with whole(path) as part, part.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{{{_json(key)}:[")
        for number, row in enumerate(rows):
            file.write((",\n" if number else "\n") + _json(row))
        file.write("\n]" + "".join(f",\n{_json(name)}:{_json(value)}" for name, value in rest().items()) + "}\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def write_drllm(records: Iterable[Record], path: Path) -> dict[str, int]:
    """Writes the label file that Dr.LLM's routers train on, and returns its counts.

    Parallel lists, as the released search writes them, with the labels beside the paths: `optimal_layer_config` holds
    one label a layer, 0 skip, 1 run, 2 run twice. A sample's path is its shortest right chain that labels can express,
    a verified one where there is one (`verified` tells), ties going to fewer distinct layers as in the released code.
    Samples without such a chain, and those that failed, are left out.
    """
    counts = Counter(dict.fromkeys(_DRLLM_COUNTS, 0))
    table: dict[str, list[Any]] = {name: [] for name in _DRLLM_LISTS}
    header: dict[str, Any] = {}
    for record in records:
        if not record.error or not header:  # a lost sample's record knows no layers
            header = {"model_name": record.model, "dataset": record.task, "num_layers": record.num_layers}
        if (row := _drllm_row(record, counts)) is not None:
            for name, value in row.items():
                table[name].append(value)
    data = {**header, "counts": dict(counts), **table}
    write_whole(path, _json(data) + "\n")
    return dict(counts)


_DRLLM_COUNTS = (
    "samples",
    "failed",
    "no_right_chain",
    "left_out",
    "right",
    "right_not_expressible",
    "best_not_expressible",
)
_DRLLM_LISTS = (
    "sample_ids",
    "questions",
    "optimal_layer_config",
    "best_path",
    "best_response",
    "original_correct",
    "mcts_correct",
    "path_lengths",
    "unique_layers",
    "verified",
)


def _drllm_row(record: Record, counts: Counter[str]) -> dict[str, Any] | None:
    base = record.base_right
    if base is None:
        counts["failed"] += 1
        return None
    chain = _drllm_chain(record, counts)
    if chain is None:
        return None
    counts["samples"] += 1
    return {
        "sample_ids": record.sample,
        "questions": record.question,
        "optimal_layer_config": list(chain.counts(record.num_layers)),
        "best_path": list(chain),
        "best_response": record.answer_text(record.gold) or "",
        "original_correct": int(base),
        "mcts_correct": 1,
        "path_lengths": len(chain),
        "unique_layers": len(set(chain)),
        "verified": record.verified.get(str(chain)),
    }


def _drllm_chain(record: Record, counts: Counter[str]) -> Chain | None:
    """The chain that the labels of a sample stand for, None if there is none, counted either way."""
    right = [chain for chain, correct in judged_chains(record).items() if correct]
    right.sort(key=lambda chain: (len(chain), len(set(chain)), chain))
    fitting = [chain for chain in right if fits_drllm(chain, record.num_layers)]
    counts["right"] += len(right)
    counts["right_not_expressible"] += len(right) - len(fitting)
    if not right:
        counts["no_right_chain"] += 1
        return None
    counts["best_not_expressible"] += right[0] not in fitting[:1]
    counts["left_out"] += not fitting
    return min(fitting, key=lambda chain: not record.verified.get(str(chain)), default=None)
