"""The prior of a run, per sample: uniform, from voids, or learnt from an earlier run."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cola_search import priors
from cola_search.chain import Chain
from cola_search.errors import UserError
from cola_search.lessons import NO_LESSONS, Searched, learn
from cola_search.records import Record, VoidPrior, read_records
from cola_search.settings import PriorSettings, Settings
from cola_search.wheels import sha256_of

if TYPE_CHECKING:
    from cola_search.scoring import ModelScorer, Scored


@dataclass(frozen=True)
class Prior:
    """What the search of one sample starts from.

    table: (skip, keep, repeat) `[L, 3]`.
    voids: what the table was made of; None where the prior is another one.
    layer_executions: what the voids cost beyond the base pass, and base: the score of the identity chain, where it is
    known already because the voids were read off that pass.
    """

    table: np.ndarray
    voids: VoidPrior | None = None
    layer_executions: float = 0.0
    base: "Scored | None" = None


class PriorTables:
    """The priors by sample, and the lessons that every search begins with."""

    def __init__(self, settings: Settings, model: Any) -> None:
        self.settings, self.model = settings, model
        self.lessons = NO_LESSONS
        shape = {"hazard": settings.search.hazard, "skip_share": settings.search.skip_share}
        self._shape = shape
        self._fixed = priors.uniform(model.num_layers, **shape)
        self._found: dict[str, Prior] = {}
        if settings.prior.kind == "learnt":
            self._learn()

    def find(self, samples: Sequence[Any], scorer: "ModelScorer") -> list[Prior]:
        """The prior of every sample; the voids found for a sample serve its decoy too, until `forget`.

        Voids of prompts are read off the pass in which the search scores the base anyway, and so are free (that pass then runs
        its last layer over all rows and not only over those that are read). Voids of answers take a pass of their own, which
        is charged; so do those of prompts where the engine runs one chain at a time.
        """
        if self.settings.prior.kind != "voids":
            return [Prior(self._fixed)] * len(samples)
        missing = [sample for sample in samples if _name(sample) not in self._found]
        bases = self._read_off(missing, scorer) if self.settings.prior.phase == "pp" else {}
        self._found |= {_name(s): self._traced(s) for s in missing if _name(s) not in self._found}
        rest, identity = [s for s in samples if s.id not in bases], Chain.identity(self.model.num_layers)
        scored = scorer.score_many([(sample, [identity]) for sample in rest])
        bases |= {sample.id: one for sample, one in zip(rest, scored, strict=True)}
        return [replace(self._found[_name(sample)], base=bases[sample.id]) for sample in samples]

    def voids(self, sample: Any) -> VoidPrior | None:
        """What the sample's prior was made of, as its record keeps it."""
        found = self._found.get(_name(sample))
        return found.voids if found else None

    def forget(self, sample: Any) -> None:
        """Drops what was found for a sample."""
        self._found.pop(_name(sample), None)

    def _read_off(self, samples: list[Any], scorer: "ModelScorer") -> dict[str, "Scored"]:
        """Scores of the identity chain by sample id; keeps the voids found on the way, where the engine lets us watch."""
        from cola_search.model.voids import NormRecorder, judge_norms

        watched = dict(zip((s.id for s in samples), scorer.score_base(samples, NormRecorder), strict=True))
        for sample, (_, watch, tokens) in zip(samples, watched.values(), strict=True):
            if watch is not None:
                voids, _ = judge_norms(watch.passes[0][0, :tokens].cpu(), self.settings.prior.alpha)
                self._found[_name(sample)] = self._of(voids.numpy())
        return {name: each.scored for name, each in watched.items()}

    def _traced(self, sample: Any) -> Prior:
        """The prior from a pass of its own, charged in layers run over the prompt."""
        from cola_search.model.voids import find_voids

        phase = self.settings.prior.phase
        voids = find_voids(
            self.model, sample, alpha=self.settings.prior.alpha, phases=("pp",) if phase == "pp" else ("pp", "rg")
        )
        spent = self.model.num_layers * (1 + len(voids.rg) / len(voids.pp))
        return self._of(voids.pp if phase == "pp" else voids.rg, spent)

    def _of(self, mask: np.ndarray, spent: float = 0.0) -> Prior:
        """The prior of voids `[tokens, L]`."""
        shares = mask.mean(axis=0)
        settings = self.settings.prior
        table = priors.from_skip_scores(shares, floor=settings.floor, **self._shape)
        return Prior(
            table, VoidPrior(phase=settings.phase, alpha=settings.alpha, voids=shares.round(3).tolist()), spent
        )

    def _learn(self) -> None:
        settings = self.settings.prior
        best: list[Chain] = []

        def searches() -> Iterator[Searched]:
            named = f"prior.records={settings.records}"
            for record in of_this_model(_records(settings), self.model.num_layers, named):
                best.extend([Chain.parse(record.best.chain)] if record.best else [])
                yield Searched.of_record(record)

        self.lessons = learn(searches(), self.model.num_layers, settings.menu)
        self._fixed = priors.learn_table(best, self.model.num_layers, strength=settings.strength, **self._shape)


def check_apart(settings: PriorSettings, reported: Iterable[tuple[str, str]]) -> None:
    """Raises UserError if a prior was learnt from items that the run reports on, given as (id, question)."""
    if settings.kind != "learnt":
        return
    learnt = {(record.sample, record.question) for record in _records(settings)}
    shared = sum(item in learnt for item in reported)
    if shared:
        raise UserError(
            f"prior.records={settings.records} holds {shared} of the items that this run reports on: learn from other items, "
            "such as those of a run with task.split=train."
        )


def of_this_model(records: Iterable[Record], num_layers: int, named: str) -> Iterator[Record]:
    """The records that are no errors, which have nothing to teach and may not even know the layers.

    named: the key and file that they are from. Raises UserError for one of a model with another number of layers.
    """
    for record in records:
        if record.error:
            continue
        if record.num_layers != num_layers:
            raise UserError(
                f"{named} is of a model with {record.num_layers} layers, this one has {num_layers}: "
                "take records of the same model."
            )
        yield record


def records_digest(settings: PriorSettings) -> str:
    """What identifies the records that a prior is learnt from. Raises UserError if they are not there."""
    with _records_file(settings) as path:
        return sha256_of(path)


def _records(settings: PriorSettings) -> Iterator[Record]:
    """The records that a prior is learnt from. Raises UserError if they are not there, or if there is none."""
    with _records_file(settings) as path:
        path.open("rb").close()
    records = read_records(path)
    first = next(records, None)
    if first is None:
        raise UserError(
            f"prior.records={path} holds no record: give the records.jsonl of a run that searched some items."
        )
    return chain([first], records)


@contextmanager
def _records_file(settings: PriorSettings) -> Iterator[Path]:
    """The record file; that it cannot be read is told by its key."""
    path = Path(str(settings.records)).expanduser()
    try:
        yield path
    except OSError as error:
        raise UserError(f"prior.records={path} cannot be read ({error.strerror}): give a records.jsonl.") from error


def _name(sample: Any) -> str:
    """The id of the item that a sample, or a decoy of it, is."""
    return str(sample.id).removesuffix("/decoy")
