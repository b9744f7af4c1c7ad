"""The records as a Parquet file: one row a sample, everything in it, in types that other programs read."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cola_search.chain import Chain
from cola_search.records import Evaluated, FoundChain, Record
from cola_search.whole_file import whole

ROWS_AT_ONCE = 256

_LAYERS = pa.list_(pa.int16())
_FOUND = pa.struct(
    {
        "chain": pa.string(),
        "layers": _LAYERS,
        "length": pa.int32(),
        "correct": pa.bool_(),
        "margin": pa.float64(),
        "verified": pa.bool_(),
        "prediction": pa.string(),
        "prediction_index": pa.int32(),
    }
)
_COST = pa.struct({"evaluations": pa.int64(), "layer_executions": pa.float64()})
_CONTROL = pa.struct(
    {
        "target": pa.string(),
        "reached": pa.bool_(),
        "length": pa.int32(),
        "evaluations": pa.int64(),
        "layer_executions": pa.float64(),
    }
)
_PROBE = pa.struct(
    {
        "tries": pa.int32(),
        "right": pa.float64(),
        "base_right": pa.int32(),
        "reached": pa.float64(),
        "refused": pa.string(),
        "layer_executions": pa.float64(),
    }
)
_EVALUATED = pa.struct(
    {
        "chain": pa.string(),
        "layers": _LAYERS,
        "correct": pa.bool_(),
        "verified": pa.bool_(),
        "margin": pa.float64(),
        "layer_executions": pa.float64(),
    }
)
_NODE = pa.struct({"parent": pa.int32(), "chain": pa.int32(), "visits": pa.int64(), "value": pa.float64()})
SCHEMA = pa.schema(
    {
        "schema": pa.int32(),
        "version": pa.string(),
        "sample": pa.string(),
        "task": pa.string(),
        "model": pa.string(),
        "num_layers": pa.int32(),
        "outcome": pa.string(),
        "question": pa.string(),
        "choices": pa.list_(pa.string()),
        "gold": pa.string(),
        "gold_index": pa.int32(),
        "base": pa.struct(
            {
                "correct": pa.bool_(),
                "prediction": pa.string(),
                "prediction_index": pa.int32(),
                "margin": pa.float64(),
                "verified": pa.bool_(),
            }
        ),
        "best": _FOUND,
        "front": pa.list_(_FOUND),
        "chains": pa.list_(_EVALUATED),
        "tree": pa.list_(_NODE),
        "verified": pa.map_(pa.string(), pa.bool_()),
        "controls": pa.map_(pa.string(), _CONTROL),
        "probes": pa.map_(pa.string(), _PROBE),
        "prior": pa.struct({"phase": pa.string(), "alpha": pa.float64(), "voids": pa.list_(pa.float64())}),
        "counts": pa.struct(
            {
                "simulations": pa.int64(),
                "evaluations": pa.int64(),
                "layer_executions": pa.float64(),
                "first_fix": _COST,
                "first_shorter": _COST,
            }
        ),
        "verification": pa.struct({"checked": pa.int32(), "agreed": pa.int32(), "near_ties": pa.int32()}),
        "seconds": pa.float64(),
        "seed": pa.int64(),
        "mix_samples": pa.bool_(),
        "error": pa.string(),
    }
)
"""The columns: those of the record, with `outcome`, each chain's layers as integers, and answers as text and index."""


def write_parquet(records: Iterable[Record], path: Path) -> dict[str, int]:
    """Writes the file batch by batch and returns how many samples it holds."""
    samples = 0
    with whole(path) as part, part.open("wb") as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for rows in _batches(map(parquet_row, records)):
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
            samples += len(rows)
    return {"samples": samples}


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        yield batch


def parquet_row(record: Record) -> dict[str, Any]:
    """The record as one row of SCHEMA."""
    base = record.base
    return {
        **{name: getattr(record, name) for name in SCHEMA.names if hasattr(record, name)},
        "gold": record.answer_text(record.gold),
        "gold_index": _index(record, record.gold),
        "base": base and {**asdict(base), **_answer(record, base.prediction)},
        "best": record.best and _found(record, record.best),
        "front": [_found(record, entry) for entry in record.front],
        "chains": [_evaluated(row, record.verified) for row in record.chains],
        "tree": [row._asdict() for row in record.tree],
        "verified": list(record.verified.items()),
        "controls": [
            (name, {**asdict(control), "target": record.answer_text(control.target)})
            for name, control in record.controls.items()
        ],
        "probes": [(name, asdict(probe)) for name, probe in record.probes.items()],
        "prior": record.prior and asdict(record.prior),
        "counts": asdict(record.counts),
        "verification": asdict(record.verification),
    }


def _evaluated(row: Evaluated, verified: Mapping[str, bool]) -> dict[str, Any]:
    correct = None if row.correct is None else bool(row.correct)
    return {
        **row._asdict(),
        "layers": list(Chain.parse(row.chain)),
        "correct": correct,
        "verified": verified.get(row.chain),
    }


def _found(record: Record, entry: FoundChain) -> dict[str, Any]:
    return {**asdict(entry), **_answer(record, entry.prediction), "layers": list(Chain.parse(entry.chain))}


def _answer(record: Record, answer: int | str | None) -> dict[str, Any]:
    return {"prediction": record.answer_text(answer), "prediction_index": _index(record, answer)}


def _index(record: Record, answer: int | str | None) -> int | None:
    return answer if record.choices is not None and isinstance(answer, int) else None
