"""The work of a replica: search the samples that it is given, verify what was found, run the controls, write it down."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cola_search.baselines import Searcher, make_search
from cola_search.chain import Chain
from cola_search.controls import Probes
from cola_search.errors import UserError
from cola_search.model.engine import memory_bytes
from cola_search.model.loading import LoadedModel, load_model
from cola_search.model.precision import dtype_name
from cola_search.outcome import Outcome, Score
from cola_search.placement import replicas_beside
from cola_search.prior_tables import Prior, PriorTables, records_digest
from cola_search.record_of import base_verdict, best_found, error_record, make_record
from cola_search.records import Control, Probe, VoidPrior
from cola_search.replica import Facts
from cola_search.scoring import ModelScorer, Scorer, verify
from cola_search.search_settings import SearchSettings
from cola_search.seeding import DECOY, RANDOM, SEARCH, TARGET, generator
from cola_search.settings import Settings
from cola_search.settled import refuse_others
from cola_search.tasks.load import check_longest_fit, task_of_run
from cola_search.tasks.sample import Sample
from cola_search.tasks.task import Task


@dataclass
class Finding:
    """What is known of a sample when all its searches are over."""

    sample: Sample
    outcome: Outcome
    verified: dict[Chain, Score]
    controls: dict[str, Control]
    probes: dict[str, Probe]
    prior: VoidPrior | None
    seconds: float


class Worker:
    """A model replica with a task; made once in the process that searches.

    Raises UserError if the search does not fit the model, or a prompt is too long for it.
    """

    def __init__(self, settings: Settings, model: LoadedModel | None = None, task: Task | None = None) -> None:
        self.settings = settings
        self.model = model or load_model(settings.model)
        settings.search.check_fits(self.model.num_layers)
        self.task = (task or task_of_run(settings.task, settings.samples)).bind(self.model)
        if task is None:  # a task that was given has its items chosen one by one
            check_longest_fit(self.task, self.model, self.task.ids.first(settings.samples))
        self.scorer = ModelScorer(self.model, self.task, settings.engine)
        self.priors = PriorTables(settings, self.model)
        self.probes = Probes(settings, self.scorer, self.task, self.model.num_layers)

    def work(self, sample_ids: list[str]) -> list[dict[str, Any]]:
        """One record a sample. Several samples are searched side by side, a wave of each at a time.

        What the user could mend about a sample is the error of that sample alone.
        """
        records: dict[str, dict[str, Any]] = {}
        fit: list[Sample] = []
        for sample_id in sample_ids:
            sample: Sample | None = None
            try:
                sample = self.task[sample_id]
                self.scorer.engine.stock.encode(sample)
                fit.append(sample)
            except UserError as error:
                records[sample_id] = self._error_record(sample_id, sample, error)
        records |= {record["sample"]: record for record in self._records(fit)}
        return [records[sample_id] for sample_id in sample_ids]

    def _error_record(self, sample_id: str, sample: Sample | None, error: UserError) -> dict[str, Any]:
        """The error record of a sample, or of an item that is none, such as one without a gold answer."""
        return error_record(self.settings, sample_id, str(error), self.model.num_layers, sample).to_dict()

    def _records(self, samples: list[Sample]) -> list[dict[str, Any]]:
        """The records of samples searched side by side, or one by one if that fails."""
        try:
            findings = self._find(samples) if samples else []
            return [make_record(self.settings, finding, self.model.num_layers) for finding in findings]
        except UserError as error:
            if len(samples) == 1:
                return [self._error_record(samples[0].id, samples[0], error)]
        finally:
            for sample in samples:
                self.scorer.release(sample)
                self.priors.forget(sample)
        return [record for sample in samples for record in self._records([sample])]

    def _find(self, samples: list[Sample]) -> list[Finding]:
        started = time.monotonic()
        outcomes = self._search(samples, self.settings.search, SEARCH)
        decoys = self._decoys(samples, outcomes) if self.settings.controls.decoy else {}
        random = self._random(samples) if self.settings.controls.random else {}
        findings = []
        for sample, outcome in zip(samples, outcomes, strict=True):
            verified = {chain: verify(self.scorer, sample, chain) for chain in self._to_verify(outcome)}
            verified |= self._until_one_holds(sample, outcome, verified)
            controls = {
                name: found[sample.id] for name, found in (("decoy", decoys), ("random", random)) if sample.id in found
            }
            probes, prior = self._probe(sample, outcome, verified), self.priors.voids(sample)
            findings.append(Finding(sample, outcome, verified, controls, probes, prior, 0.0))
        share = (time.monotonic() - started) / len(samples)
        return [replace(finding, seconds=share) for finding in findings]

    def _search(self, samples: Sequence[Sample], settings: SearchSettings, use: int) -> list[Outcome]:
        """The outcome of one search a sample, run side by side so that their waves can share batches."""
        try:
            priors = self.priors.find(samples, self.scorer)
            searches = [self._start(*pair, settings, use) for pair in zip(samples, priors, strict=True)]
            run_searches(self.scorer, list(zip(samples, searches, strict=True)))
        finally:
            # A budget of layer executions begins with nothing computed. So does a generation: the states of a decoy are its own,
            # and would stay, or have those of samples beside it go.
            if settings.max_layer_executions is not None or self.task.kind == "generate_until":
                for sample in samples:
                    self.scorer.release(sample)
        return [search.outcome() for search in searches]

    def _start(self, sample: Sample, prior: Prior, settings: SearchSettings, use: int) -> Searcher:
        rng = generator(self.settings.seed, sample.id.removesuffix("/decoy"), use)
        search = make_search(settings, self.model.num_layers, prior.table, rng, self.priors.lessons)
        if prior.base is not None:  # the identity chain, which every search asks for first, is scored already
            search.tell(search.ask(), prior.base.scores, prior.base.layer_executions + prior.layer_executions)
        return search

    def _decoys(self, samples: list[Sample], outcomes: list[Outcome]) -> dict[str, Control]:
        """By sample id, the same search sent after a wrong answer that the base did not give; not where there is none."""
        made = {s.id: decoy_of(s, o, self.settings.seed) for s, o in zip(samples, outcomes, strict=True)}
        targets = {sample_id: decoy for sample_id, decoy in made.items() if decoy is not None}
        found = self._search(list(targets.values()), self.settings.search, DECOY) if targets else []
        pairs = zip(targets.items(), found, strict=True)
        return {sample_id: self._control(decoy, outcome, decoy.gold) for (sample_id, decoy), outcome in pairs}

    def _random(self, samples: list[Sample]) -> dict[str, Control]:
        """By sample id, as many random chains of the same space and caps."""
        found = self._search(samples, replace(self.settings.search, algorithm="random"), RANDOM)
        return {sample.id: self._control(sample, outcome) for sample, outcome in zip(samples, found, strict=True)}

    def _control(self, sample: Sample, outcome: Outcome, target: int | str | None = None) -> Control:
        """What a control search reached, verified as the search's own chains are: else their rates cannot be compared."""
        right = [chain for chain, _ in outcome.candidates]
        if self.settings.verify.scope != "none":
            right = [chain for chain, score in self._until_one_holds(sample, outcome, {}).items() if score.right]
        return Control(
            target=target,
            reached=bool(right),
            length=min(map(len, right), default=None),
            evaluations=outcome.evaluations,
            layer_executions=outcome.layer_executions,
        )

    def _probe(self, sample: Sample, outcome: Outcome, verified: dict[Chain, Score]) -> dict[str, Probe]:
        base, best = base_verdict(outcome, verified), best_found(self.settings, outcome, verified)
        return self.probes.of(sample, base.right, Chain.parse(best.chain) if best else None)

    def _to_verify(self, outcome: Outcome) -> list[Chain]:
        if self.settings.verify.scope == "none":
            return []
        base = outcome.chains[0][0]
        front = [chain for chain, _ in outcome.front] if self.settings.verify.scope == "front" else []
        return list(dict.fromkeys([base, *front]))

    def _until_one_holds(self, sample: Sample, outcome: Outcome, verified: dict[Chain, Score]) -> dict[Chain, Score]:
        """Verifies right chains, shortest first, until one holds; after a few that do not, only the base is left to try."""
        if self.settings.verify.scope == "none":
            return {}
        more: dict[Chain, Score] = {}
        for chain, _ in outcome.candidates[:8]:
            score = verified.get(chain) or verify(self.scorer, sample, chain)
            more[chain] = score
            if score.right:
                break
        return more


class LoadedReplica:
    """A replica that has loaded its model: what came out on this machine, and the worker that it becomes with it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.model = settings, load_model(settings.model)
        device = self.model.device
        sharing = replicas_beside(settings.cluster, os.cpu_count() or 1, on_gpu=device.type == "cuda")
        self.facts = {
            "model.source": self.model.source,
            "model.revision": self.model.revision,
            "model.device": device.type,
            "model.dtype": dtype_name(self.model.dtype),
            "engine.memory": memory_bytes(settings.engine.memory, device, sharing),
        }
        if settings.prior.kind == "learnt":
            self.facts["prior.records"] = records_digest(settings.prior)

    def join(self, facts: Facts) -> Worker:
        """The worker, with what holds for all replicas. Raises UserError if this one came out other than the run's."""
        refuse_others(self.facts, facts)
        engine = replace(self.settings.engine, memory=str(facts["engine.memory"]))
        return Worker(replace(self.settings, engine=engine), self.model)


def decoy_of(sample: Sample, outcome: Outcome, seed: int) -> Sample | None:
    """The sample with a wrong answer as its target that the base did not give; None if every wrong one is the base's."""
    try:
        return sample.decoy(generator(seed, sample.id, TARGET), outcome.chains[0][1].prediction)
    except ValueError:
        return None


def run_searches(scorer: Scorer, searches: list[tuple[Any, Searcher]]) -> None:
    """Runs searches to their end, a wave of each at a time."""
    while run_wave(scorer, searches):
        pass


def run_wave(scorer: Scorer, searches: list[tuple[Any, Searcher]]) -> bool:
    """Runs the next wave of each search, of a new one the base alone; False where all are at their end."""
    waves = [(sample, search, search.ask()) for sample, search in searches]
    waves = [wave for wave in waves if wave[2]]
    scored = scorer.score_many([(sample, chains) for sample, _, chains in waves])
    for (_, search, chains), (scores, cost) in zip(waves, scored, strict=True):
        search.tell(chains, scores, cost)
    return bool(waves)
