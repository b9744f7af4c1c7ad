"""The experiment of "Void in Language Models" (arxiv.org/abs/2505.14467): accuracy and layers used, with and without voids.

    python experiments/voids.py --models smollm2 --tasks mmlu boolq arc_easy arc_challenge --items 300
    python experiments/voids.py --alphas 0.2 0.4 0.6 0.8 1.0 --how readout bypass        a sweep over alpha
    python experiments/voids.py --models llama3_8b_instruct mistral_7b_instruct_v03 qwen25_7b_instruct \\
        --tasks void_mmlu void_gpqa_diamond void_boolq --items 100000                    the paper's own table
    python experiments/voids.py --tasks void_mmlu --as-released sampling gold_last       its defects switched on

Tasks that score options are read in one pass over the batch for the untouched model and `readout` at all alphas; RG is
then traced in a greedy answer of --answer-tokens. What is done is kept in --records, an item a line, and not done again.
The table goes to OUT.md, the figures to OUT.json, the pictures to OUT_*.svg. PP and RG are the share of layers used, over all
tokens of the phase. The interval of an accuracy is Wilson's, that of a usage a bootstrap over items.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import get_args

import torch
from void_answers import Generated, Used, Variant, VoidRunner
from void_defects import Defect, sampler, with_gold_last, with_second_bos
from void_table import KEY, LEGEND, Cell, Row, pictures, summarize, table

from cola_search import load_model, load_task
from cola_search.errors import UserError
from cola_search.model.answers import StopWatch
from cola_search.model.loading import LoadedModel
from cola_search.model.precision import dtype_name
from cola_search.model.stock import Encoded, Stock
from cola_search.model.voids import check_rule, encode
from cola_search.run_folder import provenance
from cola_search.tasks.grading import GradingError
from cola_search.tasks.sample import Sample
from cola_search.tasks.task import Task

DEFECTS = get_args(Defect)


def main() -> None:
    """Runs what the command line names, and writes its table."""
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    done = read_rows(args.records)
    cells: list[Cell] = []
    try:
        for name in args.models:
            model = load_model(name, device=args.device, dtype=args.dtype)
            for task_name in args.tasks:
                task = load_task(task_name, limit=args.items, model=model)
                cells += summarize(run_cell(args, VoidRunner(model), task, done))
    except UserError as error:
        sys.exit(f"voids.py: {error}")
    write(args, cells)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["smollm2"])
    parser.add_argument("--tasks", nargs="+", default=["mmlu", "boolq", "arc_easy", "arc_challenge"])
    parser.add_argument("--items", type=int, default=300, help="first so many items of each task")
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.8])
    parser.add_argument("--how", nargs="+", choices=["readout", "bypass"], default=["readout", "bypass"])
    parser.add_argument("--phases", nargs="+", choices=["pp", "rg"], default=["pp", "rg"], help="phases that skip")
    parser.add_argument("--change", choices=["signed", "absolute"], default="signed")
    parser.add_argument("--as-released", nargs="*", choices=DEFECTS, default=[], help="defects to switch on")
    parser.add_argument("--answer-tokens", type=int, default=8, help="RG of tasks that score options; 0 for none")
    parser.add_argument("--batch", type=int, default=16, help="items that share a pass")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling defect")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--records", type=Path, default=Path("runs/voids.jsonl"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "voids")
    args = parser.parse_args()
    try:
        for alpha in args.alphas:
            check_rule(alpha, args.phases, args.change)
    except UserError as error:
        parser.error(str(error))
    return args


def variants(args: argparse.Namespace) -> list[Variant]:
    """The untouched model, then every way to skip at every alpha."""
    ways = product(args.how, sorted(args.alphas))
    return [Variant("none")] + [Variant(how, alpha, tuple(sorted(args.phases)), args.change) for how, alpha in ways]


def run_cell(args: argparse.Namespace, runner: VoidRunner, task: Task, done: dict[tuple, Row]) -> list[Row]:
    """The rows of one model on one task: those that are done, and those that are made and saved now."""
    rows = []
    ids = sorted(task.ids, key=task.prompt_length)  # little padding; what shares a batch follows from the items alone
    keys = {variant: key_of(args, runner.model, task, variant) for variant in variants(args)}
    for start in range(0, len(ids), args.batch):
        batch = ids[start : start + args.batch]
        missing = [v for v, key in keys.items() if any((*key, name) not in done for name in batch)]
        if missing:
            for variant, answers in run_batch(args, runner, task, batch, missing):
                fresh = [{**dict(zip(KEY, keys[variant], strict=True)), **answer} for answer in answers]
                save(args.records, [row for row in fresh if (*keys[variant], row["sample"]) not in done])
                done |= {(*keys[variant], row["sample"]): row for row in fresh}
        rows += [done[(*key, name)] for key in keys.values() for name in batch]
        print(f"{runner.model.name} {task.name}: {start + len(batch)} of {len(ids)} items", file=sys.stderr, flush=True)
    return rows


def key_of(args: argparse.Namespace, model: LoadedModel, task: Task, variant: Variant) -> tuple:
    """What a row must share with others to be of the same measurement; a value for each of KEY."""
    released = "+".join(d for d in DEFECTS if d in args.as_released) + (
        f" seed {args.seed}" if "sampling" in args.as_released else ""
    )
    dtype = dtype_name(model.dtype)
    tokens = args.answer_tokens if task.kind == "loglikelihood" else "own"
    setup = f"{model.revision[:12]} {dtype} {model.device.type} {task.prompt_hash} tokens {tokens}"
    phases = "+".join(variant.phases)
    return model.name, task.name, setup, variant.how, variant.alpha, phases, variant.change, released


def run_batch(
    args: argparse.Namespace, runner: VoidRunner, task: Task, ids: list[str], wanted: list[Variant]
) -> Iterator[tuple[Variant, list[Row]]]:
    """Per variant the rows of a batch of items, without the key."""
    samples = [task[name] for name in ids]
    if "gold_last" in args.as_released:
        samples = [with_gold_last(sample) for sample in samples]
    stock = Stock(runner.model)
    encoded = [encoded_as(args, stock, sample) for sample in samples]
    if task.kind == "loglikelihood":
        if {"sampling", "lost_first_token"} & set(args.as_released):
            raise UserError(f"--as-released: {task.name} scores its options, so nothing is sampled or lost there.")
        scored = runner.score(encoded, wanted)
        usage = runner.usage(encoded, wanted, respond=args.answer_tokens > 0)
        for variant, responses, used in zip(wanted, scored, usage, strict=True):
            yield variant, [row_of(*each) for each in zip(samples, responses, used, strict=True)]
        return
    for variant in wanted:
        choose = sampler(ids, args.seed) if "sampling" in args.as_released else None
        answers = runner.generate(encoded, variant, choose)
        texts = [[text_of(args, runner, *each)] for each in zip(encoded, answers, strict=True)]
        used = [(answer.pp, answer.rg) for answer in answers]
        yield variant, [row_of(*each) for each in zip(samples, texts, used, strict=True)]


def encoded_as(args: argparse.Namespace, stock: Stock, sample: Sample) -> Encoded:
    """The requests in tokens, with one BOS or two."""
    own = sample.task.kind == "generate_until" or args.answer_tokens == 0
    encoded = encode(stock, sample, None if own else args.answer_tokens)
    return with_second_bos(encoded, stock.lm.tokenizer) if "double_bos" in args.as_released else encoded


def text_of(args: argparse.Namespace, runner: VoidRunner, prompt: Encoded, answer: Generated) -> str:
    """The generated text as the task takes it, with or without its first token."""
    tokens = answer.tokens[1:] if "lost_first_token" in args.as_released else answer.tokens
    return StopWatch(None, prompt, runner.model.tokenizer, runner.model.hf).text(tokens)


def row_of(sample: Sample, responses: list, used: tuple[Used, Used]) -> Row:
    try:
        correct: int | None = int(sample.verdict(responses))
    except GradingError:
        correct = None
    pp, rg = ([each.tokens, *map(int, each.layers)] for each in used)
    return {"sample": sample.id, "correct": correct, "pp": pp, "rg": rg}


def read_rows(path: Path) -> dict[tuple, Row]:
    """The rows of earlier commands by key and sample; a last line that was cut off is left out."""
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows[(*(row[name] for name in KEY), row["sample"])] = row
    return rows


def save(path: Path, rows: Sequence[Row]) -> None:
    """Adds the rows to the file, behind a line that an interrupted command may have left unfinished."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cut = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" if cut and path.stat().st_size else "")
        file.writelines(json.dumps(row) + "\n" for row in rows)


def write(args: argparse.Namespace, cells: Sequence[Cell]) -> None:
    """Writes the table, the figures and the pictures, and prints the table."""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "experiments/voids.py", *sys.argv[1:]])
    text = f"# Voids: accuracy and layers used\n\n`{command}`\n\n{table(cells)}\n{LEGEND}"
    args.out.with_suffix(".md").write_text(text, encoding="utf-8")
    report = {"provenance": provenance(command), "cells": [cell.as_dict() for cell in cells]}
    args.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for name, svg in pictures(cells).items():
        args.out.with_name(f"{args.out.name}_{name}.svg").write_text(svg + "\n", encoding="utf-8")
    print(table(cells))


if __name__ == "__main__":
    main()
