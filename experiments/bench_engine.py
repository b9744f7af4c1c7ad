"""How fast the engine is, against one chain at a time through stock transformers.

Same process, threads, dtype and chains on both sides, interleaved, medians:

    a1  one chain at a time, one request at a time, batch 1, as the peers do
    a2  one chain at a time, all requests of the item in one padded batch; for a generated task a1 again, without torch's slow
        product of a sliced state with the head (plain_head.py), which users of stock transformers have
    b   the engine, for several wave sizes and samples in flight

The chains are those that a real search asks for. `--model shape:llama32_3b` takes random weights in that model's full size
and made-up items (for speed only, the same chains on both sides).

    python experiments/bench_engine.py --task arc_easy --items 16
    python experiments/bench_engine.py --task arithmetic_short --items 8
    python experiments/bench_engine.py --model shape:qwen25_7b --items 16 --waves 16 64 --flights 1 16
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_meters import device_name, forget_peak, matmul_rate, peak_memory, timed
from bench_subjects import agreement, ask_as_a_search_does, made_up, make_engine, real

from cola_search import Chain
from cola_search.model.batched import BatchedSession
from cola_search.model.engine import Engine
from cola_search.model.plain_head import plain_head
from cola_search.model.surgery import apply_chain, find_layers
from cola_search.run_folder import provenance


def main() -> None:
    """Runs the benchmark that the command line names and saves its figures."""
    args = parse()
    torch.set_num_threads(args.threads)
    model, task, samples = made_up(args) if args.model.startswith("shape:") else real(args)
    waves = {sample.id: ask_as_a_search_does(args, model, task, sample) for sample in samples}
    report: dict[str, Any] = {
        "arguments": dict(vars(args)),
        "provenance": provenance(command(args)),
        "device": device_name(model),
    }
    report["rows"] = compare(args, model, task, samples, waves)
    report["peak_memory_mb"] = max(row["peak_memory_mb"] for row in report["rows"])
    save(args, report)  # what follows takes as long again
    report["ten_times_the_chains"] = growth(args, model, task, samples, waves)
    save(args, report)
    if args.agreement:
        report["agreement"] = agreement(args, model, task, samples, waves)
        save(args, report)
    show(report)


def save(args: argparse.Namespace, report: dict[str, Any]) -> None:
    """Writes what is known so far where --save asks for it."""
    if args.save:
        report["arguments"]["save"] = Path(args.save).name  # where it lay on this machine is of no use elsewhere
        Path(args.save).write_text(json.dumps(report, indent=1) + "\n")


def parse(doc: str | None = __doc__) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--task", default="arc_easy")
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--search", default="edits", help="of conf/search, which asks for the chains")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--waves", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--flights", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stock-pairs", type=int, default=6, help="(sample, chain) pairs that a1 and a2 run a round")
    parser.add_argument("--agreement", type=int, default=0, help="pairs to verify with stock transformers")
    parser.add_argument("--save")
    return parser.parse_args()


def command(args: argparse.Namespace, script: str = __file__) -> str:
    """The command, as it can be typed again."""
    told = {name: value for name, value in vars(args).items() if value not in (None, 0) and name != "save"}
    words = [f"--{k.replace('_', '-')} {' '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in told.items()]
    return f"python experiments/{Path(script).name} {' '.join(words)}"


def compare(
    args: argparse.Namespace, model: Any, task: Any, samples: list, chains: dict[str, list[Chain]]
) -> list[dict[str, Any]]:
    """Medians over rounds in which every variant takes its turn."""
    encoder = make_engine(args, model, task, 1).stock
    pairs = [(sample, chain) for sample in samples for chain in chains[sample.id]]
    turns = take_turns(args, model, task, samples, chains, encoder, pairs)
    one, batch = (statistics.median(turns.times[name]) for name in list(turns.times)[:2])
    rate = statistics.median(turns.rates)
    stock: list[float] = []
    if task.kind != "generate_until":  # how many tokens stock runs is known beforehand for scored requests only
        stock = [
            statistics.mean(stock_flop(model, encoder, *pair, padded) for pair in pairs) for padded in (False, True)
        ]
    rows = []
    for name, taken in turns.times.items():
        median = statistics.median(taken)
        row = {
            "variant": name,
            "evaluations_per_second": 1 / median,
            "times_a1": one / median,
            "times_a2": batch / median,
            "peak_memory_mb": turns.peaks[name],
        }
        if facts := turns.facts.get(name):
            flop = facts["flop_per_evaluation"]
            row |= facts | {"share_of_matmul_rate": flop / median / rate}
            row |= {f"fewer_flop_than_a{k}": some / flop for k, some in enumerate(stock, start=1)}
        rows.append(row)
    return rows


@dataclass
class Turns:
    """What the rounds took: seconds an evaluation, peak MB and what the engine ran, by variant; rates of a plain product."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    peaks: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    facts: dict[str, dict[str, float]] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)


def take_turns(
    args: argparse.Namespace, model: Any, task: Any, samples: list, chains: dict, encoder: Any, pairs: list
) -> Turns:
    """Every variant in every round, and a plain product too: a machine that others use is not as fast all the time."""
    rng, turns = np.random.default_rng(0), Turns()
    a2 = "a2 with a plain head" if task.kind == "generate_until" else "a2 one padded batch"
    for _ in range(args.rounds):
        turns.rates.append(matmul_rate(model))
        some = [pairs[i] for i in rng.choice(len(pairs), args.stock_pairs, replace=False)]
        for name, batched in (("a1 one request at a time", False), (a2, True)):
            forget_peak(model)
            taken = [timed(model, lambda p=pair, b=batched: run_stock(model, encoder, *p, b)) for pair in some]
            turns.times[name].append(statistics.mean(taken))
            turns.peaks[name] = max(turns.peaks[name], peak_memory(model))
        for wave, flight in product(args.waves, args.flights):
            name = f"b  wave {wave}, {flight} in flight"
            forget_peak(model)
            seconds, turns.facts[name] = run_engine(args, model, task, samples, chains, wave, flight)
            turns.times[name].append(seconds / len(pairs))
            turns.peaks[name] = max(turns.peaks[name], peak_memory(model))
            print(f"{name}: {len(pairs) / seconds:.1f} evaluations/s", file=sys.stderr, flush=True)
    return turns


@torch.inference_mode()
def run_stock(model: Any, encoder: Any, sample: Any, chain: Chain, batched: bool) -> None:
    """One chain through stock transformers: its requests one by one, or padded into one batch; the head on all rows as is.

    A generated answer is one request; `batched` then takes torch's slow product of its head out.
    """
    encoded = encoder.encode(sample)
    device = next(model.hf.parameters()).device
    with apply_chain(model.hf, chain):
        if encoded.generates:
            ids = torch.tensor(encoded.contexts[:1], device=device)
            with plain_head(model.hf) if batched else nullcontext():
                encoder.lm._model_generate(
                    ids, ids.shape[1] + encoded.max_new_tokens, encoded.stops, attention_mask=torch.ones_like(ids)
                )
            return
        sequences = [(c + o)[:-1] for c, o in zip(encoded.contexts, encoded.continuations, strict=True)]
        if not batched:
            for tokens, option in zip(sequences, encoded.continuations, strict=True):
                logits = model.hf(input_ids=torch.tensor([tokens], device=device), use_cache=False).logits[0]
                logits.float().log_softmax(-1)[range(len(tokens) - len(option), len(tokens)), option].sum().item()
            return
        longest = max(map(len, sequences))
        ids = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens in sequences], device=device)
        mask = torch.tensor([[1] * len(tokens) + [0] * (longest - len(tokens)) for tokens in sequences], device=device)
        logp = model.hf(input_ids=ids, attention_mask=mask, use_cache=False).logits.float().log_softmax(-1)
        for row, (tokens, option) in enumerate(zip(sequences, encoded.continuations, strict=True)):
            logp[row, range(len(tokens) - len(option), len(tokens)), option].sum().item()


def run_engine(
    args: argparse.Namespace, model: Any, task: Any, samples: list, chains: dict, wave: int, flight: int
) -> tuple[float, dict[str, float]]:
    """Seconds for all chains of all samples, in waves; and what it took."""
    engine = make_engine(args, model, task, flight)
    rows: list[tuple[float, float]] = []
    seconds = timed(model, lambda: rows.append(replayed(engine, samples, chains, wave, flight)))
    [(layer_rows, head_rows)] = rows
    count = sum(len(some) for some in chains.values())
    layer, head = weights(model)
    return seconds, {
        "layer_executions_per_evaluation": engine.layer_executions / count,
        "flop_per_evaluation": 2 * (layer * layer_rows + head * head_rows) / count,
    }


def replayed(engine: Engine, samples: list, chains: dict, wave: int, flight: int) -> tuple[float, float]:
    """Asks the engine for all chains of all samples, in waves; rows of layers that it ran, and rows of the head."""
    layer_rows = head_rows = 0.0
    for start in range(0, len(samples), flight):
        sessions = [engine.open(sample) for sample in samples[start : start + flight]]
        mine = [chains[session.sample.id] for session in sessions]
        for at in range(0, max(map(len, mine)), wave):
            engine.answer(
                [(s, some[at : at + wave]) for s, some in zip(sessions, mine, strict=True) if some[at : at + wave]]
            )
        for session, some in zip(sessions, mine, strict=True):
            assert isinstance(session, BatchedSession)
            layer_rows += session.layer_executions * session.item.num_rows
            head_rows += len(some) * max(1, len(np.unique(session.at)))  # of a generation one at least
            engine.close(session)
    return layer_rows, head_rows


def stock_flop(model: Any, encoder: Any, sample: Any, chain: Chain, padded: bool) -> float:
    """Operations of a stock evaluation of scored requests: every request's tokens through the chain and the head."""
    encoded = encoder.encode(sample)
    pairs = zip(encoded.contexts, encoded.continuations, strict=True)
    lengths = [len(context) + len(continuation) - 1 for context, continuation in pairs]
    rows = len(lengths) * max(lengths) if padded else sum(lengths)
    layer, head = weights(model)
    return 2.0 * rows * (layer * len(chain) + head)


def growth(args: argparse.Namespace, model: Any, task: Any, samples: list, chains: dict[str, list[Chain]]) -> float:
    """How many times as long all chains of a search take as the first tenth of them, in waves of 16, one sample in flight."""
    few = {name: some[: max(1, len(some) // 10)] for name, some in chains.items()}
    times = [
        [run_engine(args, model, task, samples, some, 16, 1)[0] for some in (few, chains)] for _ in range(args.rounds)
    ]
    return statistics.median(all_of_them / tenth for tenth, all_of_them in times)


def weights(model: Any) -> tuple[int, int]:
    """Weights of one layer's matrices and of the head: two operations a weight and row."""
    layers = find_layers(model.hf)[1]
    return sum(p.numel() for p in layers[0].parameters() if p.ndim > 1), model.hf.get_output_embeddings().weight.numel()


def show(report: dict[str, Any]) -> None:
    """The figures as a table."""
    print(
        f"\n{report['arguments']['model']}, {report['arguments']['task']}, {report['arguments']['dtype']}, {report['device']}"
    )
    print(
        f"{'variant':<28}{'evaluations/s':>14}{'x a1':>8}{'x a2':>8}{'MB':>9}{'layers/eval':>13}{'of matmul':>11}{'FLOP a1/b':>11}"
    )
    for row in report["rows"]:
        more = ""
        if "flop_per_evaluation" in row:
            more = f"{row['layer_executions_per_evaluation']:>13.1f}{row['share_of_matmul_rate']:>11.0%}"
            more += f"{row['fewer_flop_than_a1']:>11.1f}" if "fewer_flop_than_a1" in row else ""
        print(
            f"{row['variant']:<28}{row['evaluations_per_second']:>14.2f}{row['times_a1']:>8.1f}{row['times_a2']:>8.1f}"
            f"{row['peak_memory_mb']:>9,.0f}{more}"
        )
    print(f"ten times the chains of a search take {report['ten_times_the_chains']:.1f} times as long")
    if "agreement" in report:
        print("agreement with stock transformers:", json.dumps(report["agreement"]))


if __name__ == "__main__":
    main()
