"""How good the untouched models are on the benchmarks: base accuracy beside chance and the most frequent answer.

A search on a task at chance proves nothing, so this table comes before every other. One line is written as soon as it is
known, and what is in the file is not computed again.

    python experiments/base_accuracy.py --models smollm2 gemma3_270m qwen25_coder_05b qwen25_coder_15b --items 200
"""

from functools import partial
from typing import Any

from cells import Cell, arguments, engine_of, model_of, read_rows, run_cells

from cola_search import Chain, load_task
from cola_search.errors import UserError
from cola_search.report.stats import wilson
from cola_search.scoring import ModelScorer

SCORED = [
    "arc_easy", "arc_challenge", "boolq", "mmlu", "commonsense_qa", "commonsense_qa_cloze", "openbookqa", "sciq", "piqa",
    "hellaswag", "winogrande", "social_iqa", "medmcqa", "medqa_5options", "basic_skills_common_knowledge",
    "basic_skills_logical_reasoning", "basic_skills_pattern", "basic_skills_arithmetic", "basic_skills_coding",
    "basic_skills_string_operations", "cola_arc_easy", "cola_arc_challenge", "void_mmlu", "void_boolq",
]  # fmt: skip
GENERATED = [
    "arithmetic_short",
    *(f"dart_math_{level}" for level in range(1, 6)), *(f"dart_math_{level}_drllm_base" for level in range(1, 6)),
    *(f"math_level_{level}" for level in range(1, 6)), "hendrycks_math", "gsm8k",
]  # fmt: skip
MODELS = ["smollm2", "gemma3_270m", "qwen25_coder_05b", "qwen25_coder_15b"]
# Their first items in the data set's order are of one or two subjects; since version 1.1 the order is mixed.
MIXED = ("void_mmlu", *(task for task in GENERATED if task.startswith(("dart_math", "math_level"))))


def main() -> None:
    """Fills the table, a task at a time."""
    parser = arguments(__doc__, "base_accuracy.jsonl")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--tasks", nargs="+", default=SCORED + GENERATED)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument(
        "--in-flight", type=int, default=0, help="items that share batches; 0 takes what suits the device"
    )
    args = parser.parse_args()
    cells = [
        {"model": model, "task": task, "items": args.items, "order": "mixed" if task in MIXED else None}
        for model in args.models
        for task in args.tasks
    ]
    run_cells(cells, partial(measure, at_once=args.in_flight), args)
    rows = [row for row in read_rows(args.out) if row["items"] == args.items]
    args.out.with_suffix(".md").write_text(table(sorted(rows, key=is_old, reverse=True)))


def is_old(row: Cell) -> bool:
    """Whether the row's items are the first of the data set's own order, when they should be mixed."""
    return row["task"] in MIXED and not row.get("order")


def measure(cell: Cell, at_once: int) -> dict[str, Any]:
    """One cell of the table: all items in batches, the identity chain."""
    model = model_of(cell["model"])
    row: dict[str, Any] = {"dtype": str(model.hf.dtype)}
    try:
        task = load_task(cell["task"], limit=cell["items"]).bind(model)
        in_flight = at_once or (64 if model.device.type == "cuda" else 32 if task.kind == "generate_until" else 8)
        scorer = ModelScorer(model, task, engine_of(model, in_flight))
        right = errors = 0
        identity = Chain.identity(model.num_layers)
        samples = sorted(task, key=lambda sample: -len(sample.requests[0].args[0]))
        for start in range(0, len(samples), in_flight):
            part = samples[start : start + in_flight]
            for sample, (scores, _) in zip(
                part, scorer.score_many([(sample, [identity]) for sample in part]), strict=True
            ):
                right += scores[0].right
                errors += scores[0].error is not None
                scorer.release(sample)
    except UserError as error:  # such as a chat protocol on a model without a chat template
        return {**row, "error": str(error)}
    rate = wilson(right, len(samples) - errors)
    return {
        **row, "n": len(samples), "right": right, "errors": errors, "accuracy": rate.rate, "low": rate.low, "high": rate.high,
        "chance": task.chance, "majority": task.majority, "metric": str(task.metric),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """The table in markdown: a line a task, a column a model; bold where the interval lies above chance and majority.

    Of two rows of a cell the later one is shown.
    """
    models = [model for model in MODELS if any(row["model"] == model for row in rows)]
    tasks = [task for task in SCORED + GENERATED if any(row["task"] == task for row in rows)]
    cells = {(row["model"], row["task"]): row for row in rows}
    lines = [
        "# Base accuracy",
        "",
        "`python experiments/base_accuracy.py`; accuracy with 95% Wilson interval, n items; **bold** where the interval lies above",
        "both chance and the most frequent answer. Rows without a cell: the protocol does not fit the model. \\*: measured before",
        "the items of these tasks were mixed, on the first 200 of the data set, which are of one or two subjects (MATH: Algebra).",
        "",
        "| task | metric | chance | most frequent | " + " | ".join(models) + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(models),
    ]
    for task in tasks:
        known = next((cells[m, task] for m in models if (m, task) in cells and "accuracy" in cells[m, task]), None)
        if known is None:
            continue
        chance = "-" if known["chance"] is None else f"{known['chance']:.2f}"
        shown = [cell(cells.get((m, task))) for m in models]
        lines.append(f"| {task} | {known['metric']} | {chance} | {known['majority']:.2f} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def cell(row: dict[str, Any] | None) -> str:
    if row is None or "accuracy" not in row:
        return "-"
    text = f"{row['accuracy']:.3f} ({row['low']:.2f}-{row['high']:.2f}, n={row['n']})"
    shown = f"**{text}**" if row["low"] > max(row["chance"] or 0, row["majority"]) else text
    return f"{shown} \\*" if is_old(row) else shown


if __name__ == "__main__":
    main()
