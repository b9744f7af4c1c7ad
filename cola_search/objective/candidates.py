"""Which chains a menu is chosen from, and their table on the calibration items: a race of two heats."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest

import numpy as np

from cola_search.baselines import make_search
from cola_search.chain import Chain
from cola_search.job import run_searches
from cola_search.objective.menu import exits, joined_edit, keep_best, single_edits
from cola_search.objective.option_table import OptionTable, Parts, block_size, score_table
from cola_search.priors import uniform
from cola_search.scoring import ModelScorer
from cola_search.search_settings import SearchSettings
from cola_search.seeding import SEARCH, generator
from cola_search.tasks.sample import Sample
from cola_search.whole_file import write_whole

PARENTS = 24  # single edits of each kind that pairs are made of


def searched(
    scorer: ModelScorer, samples: Sequence[Sample], settings: SearchSettings, seed: int, parts: Parts | None = None
) -> dict[Chain, set[str]]:
    """By chain the ids of the samples that it solved, from one search of each sample.

    As many samples are searched side by side as may be in flight, but no more than a block has (`block_size`). With `parts`,
    what an earlier process has searched is taken from there.
    """
    solved: dict[Chain, set[str]] = {}
    size = min(scorer.settings.samples_in_flight, block_size(settings.simulations))
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        make = partial(_search, scorer, part, settings, seed)
        found = make() if parts is None else _kept(parts, part, scorer, make)
        for sample, chains in zip(part, found, strict=True):
            for chain in chains:
                solved.setdefault(chain, set()).add(sample.id)
        if parts is not None and start + size < len(samples):
            parts.say(f"{start + size} of {len(samples)} items searched")
    return solved


def _search(scorer: ModelScorer, samples: Sequence[Sample], settings: SearchSettings, seed: int) -> list[list[Chain]]:
    """Per sample the chains that solve it, of those that its search tried; the searches run side by side."""
    num_layers = scorer.engine.model.num_layers
    table = uniform(num_layers, settings.hazard, settings.skip_share)
    searches = [make_search(settings, num_layers, table, generator(seed, s.id, SEARCH)) for s in samples]
    run_searches(scorer, list(zip(samples, searches, strict=True)))
    for sample in samples:
        scorer.release(sample)
    return [[chain for chain, _ in search.outcome().candidates] for search in searches]


def _kept(
    parts: Parts, samples: Sequence[Sample], scorer: ModelScorer, make: Callable[[], list[list[Chain]]]
) -> list[list[Chain]]:
    """What `_search` finds on these samples, out of the folder if it is there."""
    path = parts.path(("searched", [sample.id for sample in samples]), ".json")
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        parts.found += kept["layer_executions"]
        return [list(map(Chain.parse, texts)) for texts in kept["solved_by"]]
    before, found = scorer.layer_executions, make()
    spent = scorer.layer_executions - before
    parts.folder.mkdir(parents=True, exist_ok=True)
    texts = [list(map(str, chains)) for chains in found]
    write_whole(path, json.dumps({"solved_by": texts, "layer_executions": spent}))
    return found


def race(
    scorer: ModelScorer,
    samples: Sequence[Sample],
    more: Sequence[Chain],
    *,
    max_block: int,
    pairs: int,
    first: int,
    finalists: int,
    longest: int,
    parts: Parts | None = None,
) -> OptionTable:
    """The table of the base, its early exits and the best other chains, on all the samples.

    The first heat is run on the first `first` samples only: the base with one edit of at most `max_block` layers, `more`,
    and then `pairs` of the best edits. Its best `finalists` chains of at most `longest` layers are run on all samples.
    With `parts` it goes on with what is kept there.
    """
    num_layers = scorer.engine.model.num_layers
    base = Chain.identity(num_layers)
    always = [base, *exits(base)]
    heat, edits = samples[:first], single_edits(num_layers, max_block)
    table = score_table(scorer, heat, list(dict.fromkeys([*always, *edits, *more])), parts=parts)
    joined = best_pairs(table.columns([base, *edits]), longest)
    new = [chain for chain in joined if chain not in table.chains][:pairs]
    if new and scorer.engine.generates:  # the options are the answers given, so a new chain may add some
        table = score_table(scorer, heat, [*table.chains, *new], parts=parts)
    elif new:
        table = table.beside(score_table(scorer, heat, new, parts=parts))
    fitting = table.columns([chain for chain in table.chains if len(chain) <= longest])
    best = keep_best(fitting, finalists, always)
    return score_table(scorer, samples, best, hidden=not scorer.engine.generates, parts=parts)


def best_pairs(table: OptionTable, longest: int) -> list[Chain]:
    """Two single edits at once, one of them a skip, in at most `longest` layers: the best PARENTS of each kind by
    accuracy, pairs of the better ones first. The table's first chain is the base, the others have one edit each."""
    base, *edits = table.chains
    rates = dict(zip(table.chains, table.right.mean(axis=0).tolist(), strict=True))
    ranked = sorted(edits, key=lambda chain: (-rates[chain], len(chain), chain))
    skips = [chain for chain in ranked if len(chain) < len(base)][:PARENTS]
    repeats = [chain for chain in ranked if len(chain) > len(base)][:PARENTS]
    partners = [chain for pair in zip_longest(repeats, skips) for chain in pair if chain is not None]
    places = sorted(np.ndindex(len(skips), len(partners)), key=sum)
    joined = [joined_edit(skips[i], partners[j], len(base)) for i, j in places]
    return [chain for chain in dict.fromkeys(joined) if chain is not None and len(chain) <= longest]
