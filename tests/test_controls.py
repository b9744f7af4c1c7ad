"""The controls that are no search, on a tiny model and real items."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cola_search.chain import Chain
from cola_search.config import compose_settings
from cola_search.controls import Probes, softmax_share
from cola_search.errors import UserError
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel
from cola_search.scoring import ModelScorer
from cola_search.settings import ControlSettings
from cola_search.tasks.load import load_task

ALL = ControlSettings(pass_at_k=3, shuffle=3, transfer=3, undo_one_edit=True)
CHAIN = Chain.parse("0-1 3 5")
BASE = Chain.identity(6)


def probes(model: LoadedModel, task: Any, **controls: Any) -> Probes:
    settings: Any = SimpleNamespace(seed=0, controls=replace(ALL, **controls))
    return Probes(settings, ModelScorer(model, task, EngineSettings(memory="20MB")), task, 6)


@pytest.fixture(scope="module")
def task(tiny_model: LoadedModel) -> Any:
    return load_task("cola_arc_easy", limit=5).bind(tiny_model)


@pytest.fixture(scope="module")
def generated(tiny_model: LoadedModel) -> Any:
    return load_task("arithmetic_short", limit=4).bind(tiny_model)


def test_nothing_is_made_that_was_not_asked_for_or_has_no_chain(tiny_model: LoadedModel, task: Any) -> None:
    none = probes(tiny_model, task, pass_at_k=0, shuffle=0, transfer=0, undo_one_edit=False)
    assert none.of(task[0], False, CHAIN) == {}
    made = probes(tiny_model, task)
    assert made.of(task[0], None, CHAIN) == {}
    assert set(made.of(task[0], False, None)) == set(made.of(task[0], True, BASE)) == {"pass_at_k"}
    assert set(made.of(task[0], False, CHAIN)) == {"pass_at_k", "shuffle", "transfer", "undo_one_edit"}
    assert "shuffle" not in made.of(task[0], True, CHAIN)


def test_pass_at_k_of_options_is_exact(tiny_model: LoadedModel, task: Any) -> None:
    sample = task[0]
    made = probes(tiny_model, task)
    responses = made.scorer.engine.stock.responses(sample, BASE)
    weights = [math.exp(score) for score, _ in responses]
    p = weights[sample.gold] / sum(weights)
    assert made.pass_at_k(sample, 3).reached == pytest.approx(1 - (1 - p) ** 3, abs=1e-4)


def test_the_share_of_right_options_is_that_of_their_softmax() -> None:
    assert softmax_share([0.0, math.log(3)], (1,)) == pytest.approx(0.75)
    assert softmax_share([math.nan, -math.inf], (0,)) == 0.0
    assert softmax_share([math.nan, 5.0], (1,)) == 1.0


def test_drawn_answers_differ_and_follow_from_the_seed_alone(tiny_model: LoadedModel, generated: Any) -> None:
    stock = probes(tiny_model, generated).scorer.engine.stock
    texts = stock.sampled(generated[0], 4, seed=1)
    stock.sampled(generated[1], 2, seed=5)
    assert len(set(texts)) > 1
    assert stock.sampled(generated[0], 4, seed=1) == texts != stock.sampled(generated[0], 4, seed=2)


def test_a_generated_answer_is_reached_if_any_draw_is_right(
    tiny_model: LoadedModel, generated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = probes(tiny_model, generated)
    gold = f" {generated[0].gold}."
    monkeypatch.setattr(made.scorer.engine.stock, "sampled", lambda sample, k, seed: [gold, " none", gold])
    probe = made.pass_at_k(generated[0], 3)
    assert (probe.tries, probe.right, probe.reached) == (3, 2, 1.0)
    stock = made.scorer.engine.stock
    written = sum(len(stock.lm.tok_encode(text)) for text in [gold, " none", gold])
    assert probe.layer_executions == pytest.approx(
        len(BASE) * (3 + written / len(stock.encode(generated[0]).contexts[0]))
    )


def test_a_chain_goes_to_other_items_and_stands_beside_the_base(tiny_model: LoadedModel, task: Any) -> None:
    made = probes(tiny_model, task)
    probe = made.transfer(task[1], CHAIN, 99)
    others = [sample for sample in task if sample.id != task[1].id]
    scored = [made.scorer.score(sample, [BASE, CHAIN]) for sample in others]
    base, chain = (sum(score.correct for score in column) for column in zip(*scored, strict=True))
    assert (probe.tries, probe.base_right, probe.right) == (4, base, chain)


def test_what_is_counted_does_not_depend_on_what_came_before(tiny_model: LoadedModel, task: Any) -> None:
    fresh, used = probes(tiny_model, task), probes(tiny_model, task)
    for sample in task:
        used.of(sample, False, Chain.parse("0-3 5"))
        used.scorer.score(sample, [CHAIN])
    assert used.of(task[2], False, CHAIN) == fresh.of(task[2], False, CHAIN)


def test_without_other_items_there_is_no_transfer(tiny_model: LoadedModel) -> None:
    alone = load_task("cola_arc_easy", limit=1).bind(tiny_model)
    probe = probes(tiny_model, alone).transfer(alone[0], CHAIN, 3)
    assert probe.tries == 0 and "no other item" in str(probe.refused)


def test_unlisted_options_are_refused_and_not_counted(tiny_model: LoadedModel) -> None:
    cloze = load_task("arc_easy", limit=1).bind(tiny_model)
    probe = probes(tiny_model, cloze).shuffle(cloze[0], CHAIN, 3)
    assert probe.tries == 0 and "does not list" in str(probe.refused)


def test_a_written_answer_has_no_options_to_reorder_and_says_so(tiny_model: LoadedModel) -> None:
    written = load_task("arithmetic_short", limit=1, chat_template=False).bind(tiny_model)
    probe = probes(tiny_model, written).shuffle(written[0], CHAIN, 3)
    assert probe.tries == 0 and probe.refused == "it has no options"


def test_every_edit_is_undone_once(tiny_model: LoadedModel, task: Any) -> None:
    made = probes(tiny_model, task)
    probe = made.undo_one_edit(task[0], CHAIN)
    wanted = made.scorer.score(task[0], [Chain.parse("0-3 5"), Chain.parse("0-1 3-5")])
    assert (probe.tries, probe.right) == (2, sum(score.correct for score in wanted))
    assert 0 < probe.layer_executions <= 10


def test_a_negative_number_is_refused_by_its_key(tiny_folder: Path) -> None:
    with pytest.raises(UserError, match=r"controls\.transfer=-1"):
        compose_settings([f"model='{tiny_folder}'", "controls.transfer=-1", "run_dir=x"])
