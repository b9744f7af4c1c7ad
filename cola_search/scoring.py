"""What a chain is worth on a sample: scorers, and the verification that every reported verdict goes through."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch

from cola_search.chain import Chain, check_layers
from cola_search.errors import UserError
from cola_search.model.answers import Answer
from cola_search.model.engine import Engine, Session
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.layer_watch import LayerWatch
from cola_search.model.loading import LoadedModel
from cola_search.model.surgery import find_layers
from cola_search.outcome import Score
from cola_search.tasks.grading import GradingError
from cola_search.tasks.sample import Sample

# Margins below this can be flipped by rounding alone: measured in experiments/bench_engine.py against stock transformers.
NEAR_TIE = {torch.float32: 1e-3, torch.float64: 1e-6, torch.bfloat16: 0.25, torch.float16: 0.05}

Work = list[tuple[Any, Sequence[Chain]]]
W = TypeVar("W", bound=LayerWatch)


class Scored(NamedTuple):
    """The scores of one sample's chains, and the layer executions that they cost."""

    scores: list[Score]
    layer_executions: float


class Priced(NamedTuple):
    """The same with the part of the cost that depends on what was scored before: layers that chains have in common.

    shared: the layers among `layer_executions` that no kept prefix had; None where chains share nothing.
    """

    scores: list[Score]
    layer_executions: float
    shared: float | None


class Watched(NamedTuple, Generic[W]):
    """The identity chain's score, what its watch saw of the prompt, and of how many tokens.

    watch: None where chains run one at a time and nobody can watch.
    tokens: the first rows that the watch was told of are those of the first request's prompt.
    """

    scored: Scored
    watch: W | None
    tokens: int


class Scorer(Protocol):
    """Scores chains on samples; answers come in the order of the request.

    layer_executions: layers run so far, each over one sample's prompt: the unit of cost.
    """

    @property
    def layer_executions(self) -> float: ...
    def score(self, sample: Any, chains: Sequence[Chain]) -> list[Score]: ...
    def score_many(self, work: Work) -> list[Scored]: ...
    def price_many(self, work: Work) -> list[Priced]: ...
    def release(self, sample: Any) -> None: ...


class FakeScorer:
    """A scorer without a model: `judge(sample, chain)` gives the score, every chain costs its length."""

    def __init__(self, judge: Callable[[Any, Chain], Score]):
        self.judge = judge
        self.layer_executions = 0.0

    def score(self, sample: Any, chains: Sequence[Chain]) -> list[Score]:
        self.layer_executions += sum(len(chain) for chain in chains)
        return [self.judge(sample, chain) for chain in chains]

    def score_many(self, work: Work) -> list[Scored]:
        return [Scored(self.score(sample, chains), float(sum(map(len, chains)))) for sample, chains in work]

    def price_many(self, work: Work) -> list[Priced]:
        """The same; no chain shares anything."""
        return [Priced(*scored, None) for scored in self.score_many(work)]

    def release(self, sample: Any) -> None:
        """Nothing is kept."""


class ModelScorer:
    """Scores with a model replica, which it puts in eval mode.

    States of a sample are kept between calls until `release`, or until others need the room.
    """

    def __init__(self, model: LoadedModel, task: Any, settings: EngineSettings | None = None):
        self.settings = settings or EngineSettings()
        self.task = task
        self.engine = Engine(model, self.settings, generates=task.kind == "generate_until")
        self.near_tie = NEAR_TIE.get(model.hf.dtype, 0.25)
        self._sessions: dict[tuple, Session] = {}
        self._layers_path = find_layers(model.hf)[0]
        self._model_then = self._model_now()

    @property
    def layer_executions(self) -> float:
        return self.engine.layer_executions

    def score(self, sample: Sample, chains: Iterable[Iterable[int]]) -> list[Score]:
        """One score a chain. Raises UserError for a chain that names a layer which the model does not have."""
        made = [Chain(chain) for chain in chains]
        for chain in made:
            check_layers(chain, self.engine.model.num_layers)
        return self.score_many([(sample, made)])[0].scores

    def score_many(self, work: Work) -> list[Scored]:
        """Scores and cost of every entry of the work. At most `engine.samples_in_flight` samples are worked on at a time."""
        return [Scored(priced.scores, priced.layer_executions) for priced in self.price_many(work)]

    def price_many(self, work: Work) -> list[Priced]:
        """The same with what of the cost chains share."""
        if self._model_now() != self._model_then:
            raise UserError(
                "The model is not as it was when this scorer was made (a chain is applied, or its mode, dtype, device or attention "
                "was changed): put it back, or make a new ModelScorer."
            )
        priced: list[Priced] = []
        for start in range(0, len(work), self.settings.samples_in_flight):
            part = work[start : start + self.settings.samples_in_flight]
            # entries with the same requests share a session; each gets a copy that counts its own cost
            opened = self._open([sample for sample, _ in part])
            sessions = [replace(session, layer_executions=0.0, shared_layers=0.0) for session in opened]
            answers = self.engine.answer(
                [(session, list(chains)) for session, (_, chains) in zip(sessions, part, strict=True)]
            )
            for (sample, _), some, session in zip(part, answers, sessions, strict=True):
                scores = [judge(sample, answer, self.near_tie) for answer in some]
                shared = session.shared_layers if self.engine.batched is not None else None
                priced.append(Priced(scores, session.layer_executions, shared))
        return priced

    def score_base(self, samples: Sequence[Sample], make_watch: Callable[[], W]) -> list[Watched[W]]:
        """The score of the identity chain of every sample, from its first layer on, with a watch on that very pass."""
        found: list[Watched[W]] = []
        identity = Chain.identity(self.engine.model.num_layers)
        for start in range(0, len(samples), self.settings.samples_in_flight):
            part = samples[start : start + self.settings.samples_in_flight]
            for sample in part:
                self.release(sample)
            sessions = self._open(list(part))
            by_session = {session: make_watch() for session in dict.fromkeys(sessions)}  # samples may share one
            watches = [by_session[session] for session in sessions]
            watched = [self.engine.watch(*pair) for pair in zip(sessions, watches, strict=True)]
            for watch in by_session.values():
                watch.start({})
            try:
                scored = self.score_many([(sample, [identity]) for sample in part])
            finally:
                for session in sessions:
                    self.engine.watch(session, None)
            for session, one, watch, seen in zip(sessions, scored, watches, watched, strict=True):
                found.append(Watched(one, watch if seen else None, len(session.encoded.contexts[0])))
        return found

    def release(self, sample: Sample) -> None:
        """Forgets the states kept for the sample."""
        session = self._sessions.pop(self._key(sample), None)
        if session is not None:
            self.engine.close(session)

    def _model_now(self) -> tuple[Any, ...]:
        """What the engine took for granted when it looked at the model."""
        hf = self.engine.model.hf
        return hf.get_submodule(self._layers_path), hf.training, hf.dtype, hf.device, hf.config._attn_implementation

    def _open(self, samples: list[Sample]) -> list[Session]:
        keys = [self._key(sample) for sample in samples]
        missing = [
            (key, sample) for key, sample in dict(zip(keys, samples, strict=True)).items() if key not in self._sessions
        ]
        spare = [key for key in self._sessions if key not in keys]
        for key in spare[: max(0, len(self._sessions) + len(missing) - self.settings.samples_in_flight)]:
            self.engine.close(self._sessions.pop(key))
        for key, sample in missing:
            self._sessions[key] = self.engine.open(sample)
        return [self._sessions[key] for key in keys]

    def _key(self, sample: Sample) -> tuple:
        """A decoy shares the states of its sample where their requests are the same: it is that with another gold answer.

        The id alone is not enough, for items of two splits may have the same. Nor are the requests: what an item costs must not
        depend on whether another item with the same requests is searched beside it.
        """
        item = sample.id.removesuffix("/decoy")
        if self.engine.generates:
            return (item, sample.requests[0].args[0], sample.gold)
        return (item, *(request.args for request in sample.requests))


def verify(scorer: ModelScorer, sample: Sample, chain: Chain) -> Score:
    """The chain's score by the reference: this chain alone, this sample alone, stock transformers through lm-eval."""
    return judge(sample, Answer(scorer.engine.stock.responses(sample, chain)), scorer.near_tie)


def judge(sample: Sample, answer: Answer, near_tie: float) -> Score:
    """The verdict on a chain's answers. Options with a score that is not a number are a wrong answer, by rule.

    The margin is in nats whatever the metric divides by, so that rewards and near ties mean the same on all tasks.
    """
    try:
        options = sample.option_scores(answer.responses)
        if options is None:
            return _judge_text(sample, answer, near_tie)
    except GradingError as error:
        return Score(correct=False, margin=math.nan, error=str(error))
    values = [-math.inf if math.isnan(value) else value for value in options]
    if max(values) == -math.inf:
        return Score(correct=False, margin=-math.inf)
    wrong = [i for i in range(len(values)) if i not in sample.golds]
    good, bad = (max(group, key=values.__getitem__, default=0) for group in (sample.golds, wrong))
    lengths = sample.option_lengths()
    margin = float(values[good] - values[bad]) * (lengths[good] + lengths[bad]) / 2
    chosen = values.index(max(values))
    return Score(correct=chosen in sample.golds, margin=margin, prediction=chosen, near_tie=abs(margin) < near_tie)


def _judge_text(sample: Sample, answer: Answer, near_tie: float) -> Score:
    correct = sample.verdict(answer.responses)
    return Score(correct, answer.gold_margin, sample.prediction(answer.responses), near_tie=answer.lead < near_tie)
