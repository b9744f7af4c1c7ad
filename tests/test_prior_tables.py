"""The prior of a sample: from the base pass of its own search, or from a pass that is paid for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from record_fixture import record
from report_fixture import make_record, write_run

from cola_search.chain import Chain
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.model.loading import LoadedModel
from cola_search.model.voids import NormRecorder, find_voids, judge_norms
from cola_search.prior_tables import PriorTables, check_apart
from cola_search.records import Evaluated, FoundChain, TreeRow
from cola_search.scoring import ModelScorer
from cola_search.settings import PriorSettings, Settings
from cola_search.tasks.load import load_task
from cola_search.tasks.task import Task

IDENTITY = Chain.identity(6)
FULL = ("0-5", 1, 0.5, 6.0)


@pytest.fixture(scope="module")
def settings(tiny_folder: Path) -> Settings:
    return compose_settings([
        f"model='{tiny_folder}'", "prior=voids", "engine.memory=50MB", "engine.samples_in_flight=2",
        "engine.mix_samples=true", "tracking=none", "run_dir=unused",
    ])  # fmt: skip


@pytest.fixture(scope="module")
def task(tiny_model: LoadedModel) -> Task:
    return load_task("arc_easy", limit=3).bind(tiny_model)


@pytest.fixture
def scorer(tiny_model: LoadedModel, task: Task, settings: Settings) -> ModelScorer:
    return ModelScorer(tiny_model, task, settings.engine)


def test_the_engine_s_base_pass_shows_the_norms_and_voids_of_find_voids(tiny_model, task, scorer):
    for sample, (_, watch, tokens) in zip(task, scorer.score_base(list(task), NormRecorder), strict=True):
        found = find_voids(tiny_model, sample, phases=("pp",))
        norms = watch.passes[0][0, :tokens]
        assert norms.shape == (len(found.pp), 7)
        np.testing.assert_allclose(norms.numpy(), found.prompt.norms, rtol=1e-4)
        assert (judge_norms(norms)[0].numpy() == found.pp).all()


def test_watching_the_base_pass_changes_neither_its_scores_nor_its_cost(task, scorer, tiny_model, settings):
    plain = ModelScorer(tiny_model, task, settings.engine).score_many([(sample, [IDENTITY]) for sample in task])
    for watched, wanted in zip(scorer.score_base(list(task), NormRecorder), plain, strict=True):
        assert watched.scored.layer_executions == wanted.layer_executions == 6
        assert watched.scored.scores[0].correct == wanted.scores[0].correct
        assert watched.scored.scores[0].margin == pytest.approx(wanted.scores[0].margin, rel=1e-4)


def test_an_item_and_its_decoy_share_the_base_pass_that_is_watched(task, tiny_model, settings):
    mixed = replace(settings.engine, samples_in_flight=2, mix_samples=True)
    decoy = task[0].decoy(np.random.default_rng(0), None)
    one, other = ModelScorer(tiny_model, task, mixed).score_base([task[0], decoy], NormRecorder)
    assert one.watch is other.watch is not None and len(one.watch.passes) == 1
    assert one.scored.scores[0].prediction == other.scored.scores[0].prediction


def test_after_the_base_pass_its_states_are_kept_and_nobody_watches(task, scorer):
    (watched,) = scorer.score_base([task[0]], NormRecorder)
    (again,) = scorer.score_many([(task[0], [IDENTITY, Chain([0, 1, 2, 3, 5])])])
    assert again.layer_executions == 1 and len(watched.watch.passes[0][0, 0]) == 7


def test_a_prior_from_prompts_comes_with_the_base_score_and_costs_nothing_more(tiny_model, task, scorer, settings):
    priors = PriorTables(settings, tiny_model).find(list(task), scorer)
    for sample, prior in zip(task, priors, strict=True):
        assert prior.layer_executions == 0 and prior.base.layer_executions == 6
        assert prior.voids.voids == find_voids(tiny_model, sample, phases=("pp",)).pp.mean(0).round(3).tolist()
        assert prior.table[:, 0].argmax() == np.argmax(prior.voids.voids)


def test_a_decoy_has_the_prior_of_its_sample_and_a_score_of_its_own(tiny_model, task, scorer, settings):
    tables = PriorTables(settings, tiny_model)
    (mine,) = tables.find([task[0]], scorer)
    decoy = task[0].decoy(np.random.default_rng(0), mine.base.scores[0].prediction)
    (its,) = tables.find([decoy], scorer)
    assert its.table is mine.table and its.base.layer_executions == 0
    assert its.base.scores[0].prediction == mine.base.scores[0].prediction
    assert its.base.scores[0].margin != mine.base.scores[0].margin


@pytest.mark.parametrize(("phase", "mode"), [("pp", "stock"), ("rg", "auto")])
def test_a_pass_beyond_the_base_s_own_is_charged(tiny_model, task, settings, phase, mode):
    settings = replace(settings, prior=replace(settings.prior, phase=phase), engine=replace(settings.engine, mode=mode))
    (prior,) = PriorTables(settings, tiny_model).find([task[0]], ModelScorer(tiny_model, task, settings.engine))
    found = find_voids(tiny_model, task[0])
    assert prior.voids.voids == getattr(found, phase).mean(0).round(3).tolist()
    assert prior.layer_executions == pytest.approx(6 * (1 + (len(found.rg) / len(found.pp) if phase == "rg" else 0)))


def test_uniform_priors_score_nothing(tiny_model, task, scorer, settings):
    uniform = replace(settings, prior=replace(settings.prior, kind="uniform"))
    (prior,) = PriorTables(uniform, tiny_model).find([task[0]], scorer)
    assert prior.base is None and prior.voids is None and scorer.layer_executions == 0


def test_a_prior_learnt_from_reported_items_is_refused(tmp_path: Path) -> None:
    records = write_run(tmp_path / "run", [make_record("0", [FULL]), make_record("1", [FULL])]) / "records.jsonl"
    question = make_record("0", [FULL]).question
    learnt = PriorSettings(kind="learnt", records=str(records))
    check_apart(learnt, [("0", "an item of another split"), ("2", question)])
    with pytest.raises(UserError, match=r"prior\.records=.* holds 1 of the items that this run reports on"):
        check_apart(learnt, [("0", question), ("2", question)])


def test_records_that_are_not_there_are_refused_where_the_items_are_compared(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(UserError, match=r"prior\.records=.* cannot be read"):
            check_apart(PriorSettings(kind="learnt", records=str(path)), [("0", "q")])


@pytest.mark.parametrize("text", ["", '{"usage": 1}\n'])
def test_a_file_without_records_teaches_nothing_and_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "voids.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"prior\.records=.*voids\.json holds no record"):
        check_apart(PriorSettings(kind="learnt", records=str(path)), [("0", "q")])


def test_a_prior_is_learnt_from_the_records_without_those_that_failed(tiny_model, settings, tmp_path):
    path = tmp_path / "records.jsonl"
    shorter = FoundChain(chain="0-4", length=5, correct=True, margin=0.5, verified=True)
    chains = [Evaluated("0-5", 0, -0.5, 6.0), Evaluated("0-4", 1, 0.5, 5.0)]
    good = record(
        num_layers=6, best=None, chains=chains, tree=[TreeRow(-1, 0, 2, 0.5), TreeRow(0, 1, 1, 0.5)], front=[]
    )
    lost = record("lost", num_layers=0, base=None, error="given up")
    learnt = replace(settings, prior=replace(settings.prior, kind="learnt", records=str(path), menu=1))
    both = [replace(good, sample=name, best=shorter) for name in ("a", "b")]
    path.write_text("".join(one.to_line() + "\n" for one in (lost, *both)))
    lessons = PriorTables(learnt, tiny_model).lessons
    assert (lessons.right, lessons.wrong) == ([], [Chain.parse("0-4")])
    assert lessons.changes is not None and lessons.changes.shape == (2, 6)
