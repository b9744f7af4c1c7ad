"""What settings may not, or need not, be given together."""

import pytest
import yaml

from cola_search.combinations import _RULES, check_read
from cola_search.conf_path import conf_path
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.schema import key_paths
from cola_search.settings import Settings


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective=menu", "prior=voids"], r"prior=voids: objective=menu searches with the uniform prior"),
        (["search=drllm_released", "prior=voids"], r"prior=voids: .* takes no prior"),
        (["search=hill_climbing", "search.space=partial"], r"search\.space=partial: .* set search\.space=edits"),
        (["search=greedy", "search.space=partial"], r"search\.space=partial"),
        (["search=beam", "search.space=partial"], r"search\.space=partial"),
        (["cluster.gpus_per_replica=2"], r"cluster\.gpus_per_replica=2 needs model\.device_map=auto"),
        (["cluster.gpus_per_replica=0", "model.device=cuda"], r"model\.device=cuda needs a GPU, and cluster\.gpus_per"),
        (["cluster.gpus_per_replica=0", "model.device_map=auto"], r"model\.device_map needs a GPU"),
        (
            ["cluster=ray", "model.device=cuda:1"],
            r"model\.device=cuda:1: cluster=ray gives each replica a GPU of its own",
        ),
    ],
)
def test_what_contradicts_is_refused_with_a_remedy(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose_settings(overrides)


def test_a_model_may_take_any_gpu_where_ray_gives_none() -> None:
    compose_settings(["cluster=inprocess", "cluster.gpus_per_replica=0", "model.device=cuda"])
    compose_settings(["cluster=inprocess", "model.device=cuda:1"])
    compose_settings(["objective=dataset", "model.device=cuda:1"])
    compose_settings(["cluster=ray", "model.device=cuda:0"])


@pytest.mark.parametrize(
    ("overrides", "reader"),
    [
        (["objective=dataset", "samples=100"], "objective=sample"),
        (["objective=dataset", "cluster.replicas=4"], "objective=sample"),
        (["objective=dataset", "cluster.gpus_per_replica=1"], "cluster=ray and objective=sample"),
        (["objective=dataset", "controls=all"], "objective=sample"),
        (["objective=dataset", "controls=none", "tracking=none", "cluster=inprocess"], None),
        (["objective=dataset", "prior.strength=3", "prior.alpha=0.5"], None),
        (["objective=dataset", "objective.budget=2"], "objective=menu"),
        (["objective=menu", "objective.margin=0.1"], "objective=dataset"),
        (["objective=sample", "objective.items=5"], "objective=dataset or menu"),
        (["cluster=inprocess", "cluster.cpus_per_replica=2"], "cluster=ray and objective=sample"),
        (["tracking=none", "tracking.name=mine"], "tracking=wandb"),
        (["tracking=wandb", "tracking.name=mine"], None),
        (["engine.samples_in_flight=8"], "engine.mix_samples=true"),
        (["engine.samples_in_flight=8", "engine.mix_samples=true"], None),
        (["prior.alpha=0.5"], "prior=voids"),
        (["prior=voids", "prior.alpha=0.5", "prior.phase=rg"], None),
        (["search=random", "search.temperature=0"], "tree and local searches"),
        (["search=hill_climbing", "search.temperature=0", "search.neighbours=4"], None),
        (["search=hill_climbing", "search.c=1"], "tree searches"),
        (["search.beam_width=2"], "search=beam"),
        (["search=partial", "search.nested=false"], "search.space=edits"),
        (["search.improved_by=2"], "search.stop=improved"),
        (["search.c=1", "++search.widening=2", "samples=3", "controls=all"], None),
    ],
)
def test_a_typed_setting_that_nobody_reads_is_told_with_who_would(overrides: list[str], reader: str | None) -> None:
    settings = compose_settings(overrides)
    if reader is None:
        check_read(overrides, [settings])
        return
    with pytest.raises(UserError, match=rf"^{overrides[-1]} would not be read: it is for {reader}"):
        check_read(overrides, [settings])


def test_every_rule_is_about_settings_that_there_are() -> None:
    known = set(key_paths(Settings))
    assert {key.removesuffix(".") for rule in _RULES for key in rule.keys} <= known


@pytest.mark.parametrize("kind", ["dataset", "menu"])
def test_what_an_objective_has_in_its_file_is_read_by_it(kind: str) -> None:
    keys = yaml.safe_load((conf_path() / "objective" / f"{kind}.yaml").read_text()).keys() - {"kind"}
    settings = [compose_settings([f"objective={kind}"])]
    check_read([f"objective.{key}=1" for key in keys], settings)
    for other in key_paths(Settings):
        group, _, key = other.partition(".")
        if group == "objective" and key and key != "kind" and key not in keys:
            with pytest.raises(UserError, match="would not be read"):
                check_read([f"{other}=1"], settings)


@pytest.mark.parametrize("group", ["search", "prior", "tracking"])
def test_what_an_option_has_in_its_file_is_read_with_it(group: str) -> None:
    """Besides the lists of defaults that name every key, and what stands beside `kind` for the sake of completeness."""
    for path in (conf_path() / group).glob("*.yaml"):
        if (group, path.stem) in (("search", "partial"), ("tracking", "none")):
            continue
        needed = ["prior.records=x"] if path.stem == "learnt" else []
        values = yaml.safe_load(path.read_text())
        settings = [compose_settings([f"{group}={path.stem}", *needed])]
        check_read([f"{group}.{key}={value}" for key, value in values.items()], settings)


def test_a_prior_that_a_menu_would_not_use_is_refused() -> None:
    with pytest.raises(UserError, match=r"prior=voids: objective=menu searches with the uniform prior"):
        compose_settings(["objective=menu", "prior=voids"])
