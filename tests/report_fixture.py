"""Made-up records that look like a search's, for the tests and pictures of the report: no model is needed."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from cola_search.chain import Chain
from cola_search.records import (
    BaseVerdict,
    Control,
    Cost,
    Counts,
    Evaluated,
    FoundChain,
    Record,
    TreeRow,
    Verification,
)

HOSTILE = (
    "Is </script><script>window.pwned=1</script> <img src=x onerror=pwned=1> {{data}} \u2028 & “quoted” \u202ertl?"
)
_SUBJECTS = ("a glacier", "the moon", "a copper wire", "photosynthesis", "a falling stone", "salt", "the inner ear")
_ASKS = ("Which of these best explains what happens when {} is heated for one hour?", "What does {} show about energy?")


def synthetic_records(
    count: int,
    *,
    num_layers: int = 30,
    evaluations: int = 90,
    seed: int = 0,
    generated: bool = False,
    task: str = "arc_easy",
) -> list[Record]:
    """`count` records of a pretended run; every 40th failed, and sample 1 tries to break the page."""
    return [_record(index, num_layers, evaluations, seed, generated, task) for index in range(count)]


def make_record(
    sample: str,
    chains: list[tuple[str, int | None, float | None, float]],
    *,
    num_layers: int = 6,
    base: bool | None = None,
    best: str | None = None,
    verified: bool | None = True,
    controls: dict[str, Control] | None = None,
    error: str | None = None,
) -> Record:
    """One record from its evaluated chains (text, correct, margin, layer executions); the first is the identity."""
    right = bool(chains[0][1]) if base is None else base
    length = len(Chain.parse(best)) if best else 0
    found = FoundChain(chain=best, length=length, correct=True, margin=0.5, verified=verified) if best else None
    return Record(
        version="0.1.0",
        sample=sample,
        task="toy",
        model="tiny",
        num_layers=num_layers,
        question=f"question {sample}",
        choices=["yes", "no"],
        gold=0,
        base=BaseVerdict(correct=right, prediction=0 if right else 1, margin=chains[0][2], verified=right),
        chains=[Evaluated(*row) for row in chains],
        front=[found] if found else [],
        best=found,
        verified={chains[0][0]: right, **({} if best is None or verified is None else {best: verified})},
        controls=controls or {},
        counts=Counts(simulations=len(chains), evaluations=len(chains), layer_executions=chains[-1][3]),
        seconds=1.0,
        seed=0,
        error=error,
    )


def write_run(folder: Path, records: list[Record]) -> Path:
    """A run folder with these records."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.jsonl").write_text("".join(record.to_line() + "\n" for record in records), encoding="utf-8")
    return folder


class _Sample:
    """A pretended model on one sample: every layer is worth something, early and last layers most."""

    def __init__(self, rng: np.random.Generator, num_layers: int) -> None:
        middle = np.sin(np.linspace(0, math.pi, num_layers))
        self.worth = rng.normal(0.25 - 0.22 * middle, 0.12)
        self.base = rng.normal(0.35, 0.9)
        self.num_layers = num_layers
        self.rng = rng

    def margin(self, chain: Chain) -> float:
        lost = sum(self.worth[layer] for layer in chain.skipped(self.num_layers))
        gained = sum(0.3 * self.worth[layer] for layer in chain.repeated())
        return float(self.base - 0.8 * lost + gained + self.rng.normal(0, 0.12) * (len(chain) != self.num_layers))


def _search(sample: _Sample, evaluations: int) -> tuple[list[Evaluated], list[TreeRow]]:
    """A crude tree search, good enough to look at: edits of the better chains, scored in waves of eight."""
    rng, spent = sample.rng, float(sample.num_layers)
    chains = [Chain.identity(sample.num_layers)]
    margins = [sample.margin(chains[0])]
    costs, parents = [spent], [-1]
    while len(chains) < evaluations:
        spent += 8 * sample.num_layers * 0.45
        for _ in range(min(8, evaluations - len(chains))):
            worth = np.array([margin - 0.05 * len(chain) for chain, margin in zip(chains, margins, strict=True)])
            parent = int(
                rng.choice(len(chains), p=np.exp(2 * (worth - worth.max())) / np.exp(2 * (worth - worth.max())).sum())
            )
            child = _edit(chains[parent], rng, sample.num_layers)
            if child in chains:
                child = _edit(child, rng, sample.num_layers)
            if child in chains:
                continue
            chains.append(child)
            margins.append(sample.margin(child))
            costs.append(spent)
            parents.append(parent)
    visits = np.ones(len(chains), dtype=int)
    values = list(margins)
    for node in range(len(chains) - 1, 0, -1):
        visits[parents[node]] += visits[node]
        values[parents[node]] = max(values[parents[node]], values[node])
    rows = [Evaluated(str(c), int(m > 0), m, s) for c, m, s in zip(chains, margins, costs, strict=True)]
    return rows, [TreeRow(p, n, int(v), w) for n, (p, v, w) in enumerate(zip(parents, visits, values, strict=True))]


def _edit(chain: Chain, rng: np.random.Generator, num_layers: int) -> Chain:
    size = int(rng.integers(1, 5))
    if len(chain) <= size + 1:
        return chain
    start = int(rng.integers(0, len(chain) - size))
    if rng.random() < 0.8 or len(chain) + size > 1.3 * num_layers:
        return chain.skip(start, size)
    return chain.repeat(start, size, 1)


def _record(index: int, num_layers: int, evaluations: int, seed: int, generated: bool, task: str) -> Record:
    rng = np.random.default_rng([seed, index])
    failed = index % 40 == 39
    question = HOSTILE if index == 1 else _ASKS[index % 2].format(_SUBJECTS[index % 7])
    choices = (
        None
        if generated
        else [
            f"It {verb} because of {noun}."
            for verb, noun in zip(("melts", "grows", "shines", "rests"), _SUBJECTS[index % 4 :], strict=False)
        ]
    )
    if index == 1 and choices:
        choices[0] = "</script><b>bold</b>"
    known: dict[str, Any] = {
        "version": "0.1.0",
        "sample": f"{task}-{index:05d}",
        "task": task,
        "model": "smollm2",
        "num_layers": num_layers,
        "question": question,
        "choices": choices,
        "gold": f"{7 * index + 1}" if generated else int(rng.integers(0, 4)),
        "seed": seed,
    }
    if failed:
        counts = Counts(simulations=0, evaluations=0, layer_executions=0.0)
        return Record(**known, counts=counts, seconds=0.1, error="RuntimeError: out of memory <b>")
    chains, tree = _search(_Sample(rng, num_layers), evaluations)
    if generated:
        chains = [row._replace(margin=None) for row in chains]
    return _finish(known, index, rng, chains, tree)


def _finish(
    known: dict[str, Any], index: int, rng: np.random.Generator, chains: list[Evaluated], tree: list[TreeRow]
) -> Record:
    num_layers, choices, gold = known["num_layers"], known["choices"], known["gold"]
    right = sorted((len(Chain.parse(row.chain)), position) for position, row in enumerate(chains) if row.correct)
    base_right = bool(chains[0].correct)
    best = None
    if right:
        length, position = right[0]
        best = FoundChain(
            chain=chains[position].chain,
            length=length,
            correct=True,
            margin=chains[position].margin,
            verified=True if index % 9 else None,
            prediction=gold,
        )
    wrong = "wrong" if choices is None else (int(gold) + 1) % 4
    found = [
        (len(Chain.parse(row.chain)), Cost(evaluations=i + 1, layer_executions=row.layer_executions))
        for i, row in enumerate(chains)
        if row.correct
    ]
    first = next((cost for _, cost in found), None)
    shorter = next((cost for length, cost in found if length < num_layers), None)
    reached, lucky = bool(rng.random() < 0.8), bool(base_right or rng.random() < 0.7)
    spent = chains[-1].layer_executions
    return Record(
        **known,
        base=BaseVerdict(
            correct=base_right, prediction=gold if base_right else wrong, margin=chains[0].margin, verified=base_right
        ),
        chains=chains,
        tree=tree,
        front=[best] if best else [],
        best=best,
        controls={
            "decoy": Control(
                target=(int(gold) + 2) % 4 if choices else "42",
                reached=reached,
                length=int(rng.integers(8, num_layers)) if reached else None,
                evaluations=len(chains),
                layer_executions=spent,
            ),
            "random": Control(
                reached=lucky,
                length=int(rng.integers(16, num_layers + 1)) if lucky else None,
                evaluations=len(chains),
                layer_executions=spent,
            ),
        },
        counts=Counts(
            simulations=len(chains) + 4,
            evaluations=len(chains),
            layer_executions=spent,
            first_fix=None if base_right else first,
            first_shorter=shorter,
        ),
        verification=Verification(checked=2, agreed=2 - (index % 25 == 7), near_ties=int(index % 10 == 3)),
        seconds=round(float(rng.random()) + 0.5, 3),
    )
