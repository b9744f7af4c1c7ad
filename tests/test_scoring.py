"""Scores of the engine against the reference, on real items."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance

from cola_search import Chain, ModelScorer, apply_chain, load_model, load_task
from cola_search.errors import UserError
from cola_search.model.answers import Answer
from cola_search.model.batched import BatchedSession
from cola_search.model.decode import Decoder
from cola_search.model.engine import Engine
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel
from cola_search.model.voids import NormRecorder
from cola_search.outcome import Score
from cola_search.scoring import FakeScorer, judge, verify

TINY = [Chain(c) for c in [(0, 1, 2, 3, 4, 5), (0, 2, 3, 4, 5), (1, 2, 3, 4, 5), (0, 1, 2, 1, 2, 3, 4, 5), (5,)]]
REAL = [Chain.identity(30), Chain.parse("0-9 14-29"), Chain.parse("0-11 (12-14)x2 15-29"), Chain.parse("1-29")]


def expect_reference(scorer: ModelScorer, samples: list, chains: list[Chain]) -> None:
    for sample in samples:
        for chain, score in zip(chains, scorer.score(sample, chains), strict=True):
            reference = verify(scorer, sample, chain)
            assert (score.correct, score.prediction) == (reference.correct, reference.prediction), (
                sample.id,
                str(chain),
            )
            if not math.isnan(reference.margin):
                assert score.margin == pytest.approx(reference.margin, abs=2e-3)
        scorer.release(sample)


@pytest.mark.parametrize("task", ["arc_easy", "boolq", "winogrande", "arithmetic_short"])
def test_the_engine_gives_lm_evals_verdicts_on_a_tiny_model(tiny_model: LoadedModel, task: str) -> None:
    items = load_task(task, limit=3, chat_template=False)
    expect_reference(ModelScorer(tiny_model, items, EngineSettings(memory="50MB", mode="batched")), items[:3], TINY)


@pytest.mark.parametrize("task", ["arc_easy", "arithmetic_short"])
def test_the_engine_gives_lm_evals_verdicts_on_smollm2(smollm2: LoadedModel, task: str) -> None:
    items = load_task(task, limit=2).bind(smollm2)
    expect_reference(ModelScorer(smollm2, items, EngineSettings(memory="200MB", mode="batched")), items[:2], REAL)


def test_one_chain_at_a_time_gives_the_same_scores_as_the_engine(tiny_model: LoadedModel) -> None:
    items = load_task("arc_easy", limit=2)
    fast = ModelScorer(tiny_model, items, EngineSettings(memory="50MB", mode="batched"))
    slow = ModelScorer(tiny_model, items, EngineSettings(mode="stock"))
    for sample in items:
        pairs = zip(fast.score(sample, TINY), slow.score(sample, TINY), strict=True)
        assert all(a.prediction == b.prediction and a.margin == pytest.approx(b.margin, abs=1e-3) for a, b in pairs)
    assert slow.layer_executions > fast.layer_executions


def test_mixed_samples_get_the_scores_that_they_get_alone(tiny_model: LoadedModel) -> None:
    items = load_task("arc_easy", limit=3)
    alone = ModelScorer(tiny_model, items, EngineSettings(memory="50MB"))
    mixed = ModelScorer(tiny_model, items, EngineSettings(memory="50MB", samples_in_flight=3, mix_samples=True))
    together = mixed.score_many([(sample, TINY) for sample in items])
    for sample, (scores, cost) in zip(items, together, strict=True):
        wanted = alone.score(sample, TINY)
        assert [s.margin for s in scores] == pytest.approx([s.margin for s in wanted], abs=1e-4)
        assert cost > 0


def test_generated_items_get_the_margins_together_that_they_get_alone_whether_they_have_a_short_answer_or_not(
    tiny_model: LoadedModel,
) -> None:
    first, blank, last = load_task("arithmetic_short", limit=3, chat_template=False)
    items = [first, replace(blank, gold=None), last]
    alone = ModelScorer(tiny_model, first.task, EngineSettings(memory="50MB"))
    mixed = ModelScorer(tiny_model, first.task, EngineSettings(memory="50MB", samples_in_flight=3, mix_samples=True))
    together = mixed.score_many([(sample, TINY) for sample in items])
    for sample, (scores, _) in zip(items, together, strict=True):
        wanted = [score.margin for score in alone.score(sample, TINY)]
        assert [score.margin for score in scores] == pytest.approx(wanted, abs=1e-4, nan_ok=True)
        assert all(math.isnan(margin) is (sample is items[1]) for margin in wanted)


def test_two_items_with_the_same_id_are_not_taken_for_one_another(tiny_model: LoadedModel) -> None:
    one, other = load_task("arc_easy", limit=2)
    namesake = replace(other, id=one.id)  # as in tasks whose splits are both numbered from 0
    scorer = ModelScorer(tiny_model, one.task, EngineSettings(memory="50MB", samples_in_flight=2))
    wanted = ModelScorer(tiny_model, one.task, EngineSettings(memory="50MB")).score(other, TINY)
    scorer.score(one, TINY)
    assert [s.margin for s in scorer.score(namesake, TINY)] == pytest.approx([s.margin for s in wanted], abs=1e-4)


def test_a_decoy_shares_the_states_of_its_sample(tiny_model: LoadedModel) -> None:
    (item,) = load_task("arc_easy", limit=1)
    scorer = ModelScorer(tiny_model, item.task, EngineSettings(memory="50MB"))
    scorer.score(item, TINY)
    (again,) = scorer.score_many([(item.decoy(np.random.default_rng(0), None), TINY[:1])])
    assert again.layer_executions == 1  # the end of a chain is not kept


@pytest.mark.parametrize("mixed", [False, True])
def test_two_entries_that_share_states_are_charged_for_what_each_adds(tiny_model: LoadedModel, mixed: bool) -> None:
    (item,) = load_task("arc_easy", limit=1)
    scorer = ModelScorer(tiny_model, item.task, EngineSettings(memory="50MB", samples_in_flight=2, mix_samples=mixed))
    decoy = item.decoy(np.random.default_rng(0), None)
    scored = scorer.score_many([(item, TINY[:1]), (decoy, [Chain((0, 1, 5))])])
    assert [one.layer_executions for one in scored] == [6, 1]
    assert scorer.layer_executions == 7


@pytest.mark.parametrize("task", ["arc_easy", "arithmetic_short"])
def test_an_item_costs_what_it_costs_alone_whether_its_twin_is_searched_beside_it(
    tiny_model: LoadedModel, task: str
) -> None:
    items = load_task(task, limit=1).bind(tiny_model)
    item, twin = items[0], replace(items[0], id="twin")
    scorer = ModelScorer(tiny_model, items, EngineSettings(memory="50MB", samples_in_flight=2, mix_samples=True))
    chains = [Chain((0, 1, 2, 4, 5))]
    first, second = scorer.score_many([(item, chains), (twin, chains)])
    assert second == first
    scorer.release(item)
    (again,) = scorer.price_many([(twin, [Chain((0, 1, 2, 4, 3))])])
    assert again.shared == 1  # the states of its beginning are still there


def lone(context: str, continuation: str) -> Any:
    """An item of one continuation, which is right if it is the likeliest."""
    request = Instance(request_type="loglikelihood", doc={}, arguments=(context, continuation), idx=0)
    return SimpleNamespace(
        id="lone",
        requests=[request],
        option_scores=lambda responses: None,
        verdict=lambda responses: responses[0][1],
        prediction=lambda responses: None,
    )


def test_the_margin_of_a_lone_continuation_is_how_far_it_is_behind_the_likeliest(tiny_model: LoadedModel) -> None:
    task: Any = SimpleNamespace(kind="loglikelihood")
    scorer = ModelScorer(tiny_model, task, EngineSettings(memory="50MB", mode="batched"))
    letters = {letter: scorer.score(lone("abc", letter), TINY[:1])[0] for letter in map(chr, range(32, 127))}
    with torch.inference_mode():
        logits = tiny_model.hf(torch.tensor([tiny_model.tokenizer.encode("abc")])).logits[0, -1]
    for letter, score in letters.items():
        lead = logits[tiny_model.tokenizer.encode(letter)[0]] - logits.max()
        assert score.margin == pytest.approx(float(lead), abs=1e-4)
        assert score.correct is (score.margin == 0)


def test_a_lone_continuation_that_is_barely_not_the_likeliest_is_a_near_tie(tiny_model: LoadedModel) -> None:
    task: Any = SimpleNamespace(kind="loglikelihood")
    scorer = ModelScorer(tiny_model, task, EngineSettings(memory="50MB", mode="batched"))
    sample = lone("abc", "de")
    answer = scorer.engine.answer([(scorer.engine.open(sample), TINY[:1])])[0][0]
    assert not judge(sample, answer, near_tie=0.9 * answer.lead).near_tie
    assert judge(sample, answer, near_tie=1.1 * answer.lead).near_tie
    assert not judge(sample, Answer([(0.0, True)], 0.0), near_tie=0.25).near_tie


def test_a_gold_answer_that_shapes_the_reward_does_not_change_what_a_written_token_costs(
    tiny_model: LoadedModel,
) -> None:
    engine = Engine(tiny_model, EngineSettings(memory="50MB", mode="batched"), generates=True)
    arguments = ("abc def", {"until": ["\n\n"], "max_gen_toks": 9})
    request = Instance(request_type="generate_until", doc={}, arguments=arguments, idx=0)
    costs = []
    for target in (None, " 123456"):
        session = engine.open(SimpleNamespace(id="s", requests=[request], target_text=target))
        engine.answer([(session, TINY[:1])])
        costs.append(session.layer_executions)
    assert costs[0] == costs[1] > 6


def test_written_tokens_cost_layer_executions_one_chain_at_a_time_too(tiny_model: LoadedModel) -> None:
    (item,) = load_task("arithmetic_short", limit=1, chat_template=False)
    (slow,) = ModelScorer(tiny_model, item.task, EngineSettings(mode="stock")).score_many([(item, TINY[:1])])
    assert slow.layer_executions > 6


def test_a_generation_that_does_not_fit_memory_is_halved_and_the_size_remembered(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = load_task("arithmetic_short", limit=2, chat_template=False)
    settings = EngineSettings(memory="50MB", mode="batched", samples_in_flight=2)
    work = [(item, TINY) for item in items]
    wanted = ModelScorer(tiny_model, items, settings).score_many(work)
    real, sizes = Decoder.step, []

    def step(decoder: Decoder, tokens: np.ndarray, t: int) -> Any:
        sizes.append(len(tokens))
        if t and len(tokens) > 3:
            raise torch.OutOfMemoryError("no room")
        return real(decoder, tokens, t)

    monkeypatch.setattr(Decoder, "step", step)
    scorer = ModelScorer(tiny_model, items, settings)
    for scored, expected in zip(scorer.score_many(work), wanted, strict=True):
        assert [score.prediction for score in scored.scores] == [score.prediction for score in expected.scores]
        assert scored.layer_executions == expected.layer_executions  # tokens that were lost are not charged
    sizes.clear()
    scorer.score_many([(items[0], [Chain((0, 1)), Chain((0, 2)), Chain((0, 3)), Chain((0, 4))])])
    assert max(sizes) <= 2


def test_the_reported_cost_is_what_the_engine_ran(tiny_model: LoadedModel) -> None:
    items = load_task("arc_easy", limit=1)
    scorer = ModelScorer(tiny_model, items, EngineSettings(memory="50MB"))
    (scored,) = scorer.score_many([(items[0], [Chain((0, 1, 2)), Chain((0, 1, 3))])])
    assert scored.layer_executions == scorer.layer_executions == 4


@pytest.mark.parametrize(("task", "tight"), [("arc_easy", "400kB"), ("arithmetic_short", "1500kB")])
def test_what_chains_cost_does_not_depend_on_the_memory(tiny_model: LoadedModel, task: str, tight: str) -> None:
    items = load_task(task, limit=1).bind(tiny_model)
    rng = np.random.default_rng(0)
    waves = [[Chain(rng.integers(0, 6, rng.integers(1, 7)).tolist()) for _ in range(8)] for _ in range(12)]
    costs, run = {}, {}
    for memory in ("50MB", tight):
        scorer = ModelScorer(tiny_model, items, EngineSettings(memory=memory, mode="batched"))
        costs[memory] = [scorer.score_many([(items[0], wave)])[0].layer_executions for wave in waves]
        run[memory] = scorer._open([items[0]])[0].item.layer_executions
    assert costs[tight] == costs["50MB"]
    assert run[tight] > run["50MB"]  # states were dropped, and layers run again
    if not scorer.engine.generates:
        assert sum(costs["50MB"]) == run["50MB"]


def test_a_prompt_that_is_too_long_is_refused_before_anything_runs(tiny_model: LoadedModel) -> None:
    items = load_task("gsm8k", limit=1, fewshot=5)
    scorer = ModelScorer(tiny_model, items, EngineSettings(memory="50MB"))
    scorer.engine.stock.lm._max_length = 512
    with pytest.raises(UserError, match="context leaves room for 256"):
        scorer.score(items[0], TINY[:1])


def test_a_chain_of_a_larger_model_is_refused_by_its_layer(tiny_model: LoadedModel) -> None:
    items = load_task("arc_easy", limit=1)
    with pytest.raises(UserError, match="names layer 29, but the model has layers 0 to 5"):
        ModelScorer(tiny_model, items).score(items[0], [TINY[0], Chain.identity(30)])


def test_chains_may_be_any_iterables_of_layers_and_one_that_is_none_is_refused(tiny_model: LoadedModel) -> None:
    (item,) = load_task("arc_easy", limit=1)
    scorer = ModelScorer(tiny_model, item.task, EngineSettings(memory="50MB"))
    expected = scorer.score(item, [Chain((0, 1)), Chain((0, 5))])
    assert scorer.score(item, (np.array(chain) for chain in ([0, 1], [0, 5]))) == expected
    for none, reason in (("0-1", "no sequence of layers"), ((), "at least one layer")):
        with pytest.raises(UserError, match=reason):
            scorer.score(item, [none])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "change",
    [
        lambda hf: hf.train(),
        lambda hf: hf.to(torch.float64),
        lambda hf: hf.set_attn_implementation("eager"),
    ],
    ids=["mode", "dtype", "attention"],
)
def test_a_model_that_was_changed_under_its_scorer_is_refused_not_scored_wrong(
    tiny_folder: Path, change: Callable[[Any], object]
) -> None:
    (item,) = load_task("arc_easy", limit=1)
    model = load_model(tiny_folder, device="cpu", dtype="float32")
    scorer = ModelScorer(model, item.task, EngineSettings(memory="50MB"))
    with apply_chain(model.hf, [3, 2, 1, 0, 4, 5]), pytest.raises(UserError, match="not as it was"):
        scorer.score(item, TINY)
    scorer.score(item, TINY[:1])
    change(model.hf)
    with pytest.raises(UserError, match=r"not as it was when this scorer was made .* make a new ModelScorer"):
        scorer.score(item, TINY)


def test_scores_that_are_not_numbers_are_a_wrong_answer_and_no_crash() -> None:
    sample = load_task("arc_easy", limit=1)[0]
    score = judge(sample, Answer([(math.nan, False)] * 4), near_tie=0.1)
    assert (score.correct, score.error) == (False, None)


def test_a_margin_within_rounding_is_called_a_near_tie() -> None:
    sample = load_task("arc_easy", limit=1)[0]
    gold = sample.gold
    values = [(-1.0 if i == gold else -1.05, False) for i in range(4)]
    assert judge(sample, Answer(values), near_tie=0.1).near_tie
    assert not judge(sample, Answer(values), near_tie=0.01).near_tie


def test_a_fake_scorer_charges_every_chain_its_length() -> None:
    scorer = FakeScorer(lambda sample, chain: Score(correct=len(chain) < 3, margin=0.0))
    (scored,) = scorer.score_many([("sample", [Chain((0, 1)), Chain((0, 1, 2))])])
    assert [score.correct for score in scored.scores] == [True, False]
    assert scored.layer_executions == scorer.layer_executions == 5


def test_a_margin_is_in_nats_whatever_the_metric_divides_by() -> None:
    sample = load_task("commonsense_qa_cloze", limit=1)[0]
    assert sample.task.metric.name == "acc_norm" and sample.choices is not None
    lengths = [len(choice) for choice in sample.choices]
    for lead, near in ((0.05, True), (0.5, False)):
        values = [(length * -1.0 + (lead if i == sample.gold else 0.0), False) for i, length in enumerate(lengths)]
        score = judge(sample, Answer(values), near_tie=0.25)
        assert score.near_tie is near and lead / 4 < score.margin < 4 * lead


def test_options_with_no_finite_score_on_one_side_have_an_infinite_margin() -> None:
    sample = replace(load_task("arc_easy", limit=1)[0], gold=1, golds=(1,))
    values = [(-1.0 if i == sample.gold else -math.inf, False) for i in range(4)]
    assert judge(sample, Answer(values), near_tie=0.1) == Score(True, math.inf, prediction=sample.gold)
    turned = [(-math.inf if i == sample.gold else -1.0, False) for i in range(4)]
    assert judge(sample, Answer(turned), near_tie=0.1).margin == -math.inf


def test_a_generation_or_a_watch_that_fails_leaves_nothing_pinned_and_nobody_watching(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sample,) = load_task("arithmetic_short", limit=1, chat_template=False)
    scorer = ModelScorer(tiny_model, sample.task, EngineSettings(memory="50MB", mode="batched"))
    wanted = scorer.score(sample, TINY)
    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "step", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scorer.score_base([sample], NormRecorder)
    (session,) = scorer._sessions.values()
    assert isinstance(session, BatchedSession)
    assert not session.item.prefixes.pinned and not session.item.prefixes.kv_only and session.item.watch is None
    assert scorer.score(sample, TINY) == wanted
