"""From overrides to settings: conf/ against the dataclasses, bad input of every kind, sweeps, names without files."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import OmegaConf

from cola_search.conf_path import conf_path
from cola_search.config import PRIMARY, compose_jobs, compose_settings, group_names, prepare_hydra, sweep_folders
from cola_search.errors import UserError
from cola_search.hydra_source import quote_names
from cola_search.schema import key_paths
from cola_search.settings import Settings

OPTIONS = [
    (path.parent.name, path.stem) for path in sorted(conf_path().glob("*/*.yaml")) if path.parent.name != "hydra"
]


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in values.items():
        full = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from leaves(value, full)
        else:
            yield full


def test_no_setting_is_unread_and_no_field_is_unset() -> None:
    prepare_hydra()
    with hydra.initialize_config_dir(str(conf_path()), version_base="1.3"):
        composed = OmegaConf.to_container(hydra.compose(PRIMARY), resolve=True)
    assert isinstance(composed, dict)
    fields = {path for path in key_paths(Settings) if not path.endswith(".*")}
    groups = {path for path in fields if any(other.startswith(f"{path}.") for other in fields)}
    assert set(leaves(composed)) == fields - groups


def test_every_group_of_conf_is_a_setting() -> None:
    assert set(group_names()) - {"experiment"} <= set(key_paths(Settings))


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_every_option_composes(group: str, option: str) -> None:
    needed = ["prior.records=some/records.jsonl"] if option == "learnt" else []
    compose_settings([f"{group}={option}", *needed])


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_every_option_says_its_purpose_first(group: str, option: str) -> None:
    lines = (conf_path() / group / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    first = next(line for line in lines if not line.startswith("# @"))
    assert first.startswith("# ") and (first.endswith(".") or "cola-search " in first)  # --help shows this line alone


def test_the_primary_config_stays_a_table_of_contents() -> None:
    assert len((conf_path() / "config.yaml").read_text(encoding="utf-8").splitlines()) < 40


def test_edits_are_searched_by_default() -> None:
    assert compose_settings().search == compose_settings(["search=edits"]).search


def test_the_command_of_the_contract_sets_what_it_says() -> None:
    line = "model=smollm2 task=arc_easy samples=32 search.simulations=200 prior=voids seed=0 run_dir=FOLDER"
    settings = compose_settings(line.split())
    assert (settings.model.name, settings.task.name, settings.samples) == ("smollm2", "arc_easy", 32)
    assert (settings.search.simulations, settings.prior.kind, settings.seed) == (200, "voids", 0)
    assert settings.run_dir == "FOLDER"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.simulatons=3", r"search\.simulatons is not a setting: did you mean search\.simulations\?"),
        ("+search.typo=3", r"search\.typo is not a setting"),
        ("++search.typo=3", r"search\.typo is not a setting"),
        ("piror=voids", r"piror is not a setting: did you mean prior\?"),
        ("search.c=abc", r"search\.c='abc' must be a number"),
        ("search.simulations=0", r"search\.simulations=0 must be"),
        ("search.simulations=1.5", r"search\.simulations=1\.5 must be a whole number"),
        ("samples=abc", r"samples='abc' must be a whole number or null"),
        ("prior=nope", r"prior=nope does not exist: choose one of learnt, uniform, voids"),
        ("experiment=nope", r"experiment=nope does not exist: choose one of"),
        ("prior.kind=x", r"prior\.kind='x' must be one of uniform, voids, learnt"),
        ("engine.memory=infGB", r"engine\.memory='infGB' is not understood"),
        ("engine.memory=-2GB", r"engine\.memory='-2GB' is not understood"),
        ("cluster.cpus_per_replica=inf", r"cluster\.cpus_per_replica=inf: must be a finite number"),
        ("cluster.gpus_per_replica=nan", r"cluster\.gpus_per_replica=nan: must be auto"),
        ("controls.decoy=yes", r"controls\.decoy='yes' must be true or false"),
        ("engine.mode=fast", r"engine\.mode='fast' is unknown"),
        ("cluster.replicas=0", r"cluster\.replicas=0"),
        ("tracking.mode=cloud", r"tracking\.mode='cloud' must be one of auto, online, offline"),
        ("model=nope", r"model=nope is not a name in conf/model"),
        ("model=null", r"model=null: model is a group"),
        ("model.dtype=int3", r"model\.dtype=int3 is not one of"),
        ("task.limit=4", r"task\.limit cannot be set in a run: samples"),
        ("~search.c", r"~search\.c: a setting cannot be taken away"),
        ("seed=1,2", r"seed=1,2 names several values: add -m"),
        ("search.c=a=b", r"search\.c=a=b cannot be read as KEY=VALUE: quote the value"),
        ("run_dir=it's", r"run_dir=it's cannot be read as KEY=VALUE: quote the value: run_dir=\"'it\\'s'\""),
        ("run_dir=${nothing}", r"run_dir: .*nothing"),
        ("hydra.run.dir=x", r"hydra\.run\.dir cannot be set: name the folder with run_dir"),
        ("hydra.sweep.dir=x", r"hydra\.sweep\.dir cannot be set: name the folder with run_dir"),
        ("hydra.sweep.subdir=x", r"hydra\.sweep\.subdir cannot be set: a sweep goes on by the names"),
        ("hydra.searchpath=[file://x]", r"hydra\.searchpath cannot be set: name a folder .* with --config-dir"),
    ],
)
def test_bad_input_is_one_sentence_that_names_the_key(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        compose_settings([quote_names(override)])
    assert "\n" not in str(caught.value)


def test_a_mistake_is_told_before_anything_heavy_is_imported() -> None:
    code = (
        "import sys\nfrom cola_search.cli import main\nassert main(['search.c=abc']) == 2\n"
        "print(*sorted({'torch', 'transformers', 'ray', 'lm_eval', 'datasets', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert done.stderr == "cola-search: search.c='abc' must be a number.\n"


def test_a_mistake_in_any_job_of_a_sweep_is_told_before_the_first() -> None:
    with pytest.raises(UserError, match=r"search\.simulations=0"):
        compose_jobs(["search.simulations=50,0"], sweep=True)


def test_a_range_in_a_sweep_is_refused_by_its_key_with_what_to_write() -> None:
    with pytest.raises(UserError, match=r"prior.floor=interval\(0,1\) is a range .*: list them, as prior.floor=A,B"):
        compose_jobs(["prior.floor=interval(0,1)"], sweep=True)


def test_a_sweep_may_name_its_options_by_a_pattern() -> None:
    jobs = compose_jobs(["verify=glob(*,exclude=none)"], sweep=True)
    assert [settings.verify.scope for settings in jobs] == ["best", "front"]
    assert sweep_folders(["verify=glob(*,exclude=none)"]) == {"verify=best", "verify=front"}


def test_the_folder_of_a_run_cannot_be_swept() -> None:
    with pytest.raises(UserError, match="every job gets a folder below"):
        compose_jobs(["run_dir=a,b"], sweep=True)


def test_a_hub_id_is_a_model_without_a_file() -> None:
    assert compose_settings(["model=some-org/Some-Model.v1"]).model.hub_id == "some-org/Some-Model.v1"


def test_a_local_folder_is_a_model_even_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "my model (v=2)"
    folder.mkdir()
    (settings,) = compose_jobs([quote_names(f"model={folder}")], sweep=False)
    assert settings.model.path == str(folder)


def test_a_pypi_uri_is_a_model_and_may_be_swept_with_others() -> None:
    uri = "pypi://Some-Package==1.2.3/some_package/model.gguf"
    jobs = compose_jobs([quote_names(f"model={uri},smollm2,some-org/Model")], sweep=True)
    assert jobs[0].model.uri == uri
    assert [job.model.name for job in jobs[1:]] == ["smollm2", "some-org/Model"]


def test_any_task_name_is_a_task_and_may_be_swept_with_known_ones() -> None:
    jobs = compose_jobs(["task=arc_easy,mmlu_high_school_physics"], sweep=True)
    assert [job.task.name for job in jobs] == ["arc_easy", "mmlu_high_school_physics"]


def test_a_value_changes_a_made_up_model_or_task_too() -> None:
    settings = compose_settings(["model=some-org/Model", "model.dtype=float32", "task=some_task", "task.fewshot=5"])
    assert (settings.model.dtype, settings.task.fewshot) == ("float32", 5)


@pytest.mark.parametrize(
    ("typed", "quoted"),
    [
        ("model=smollm2", "model=smollm2"),
        ("model=org/Model-1.7B", "model=org/Model-1.7B"),
        ("model=pypi://P==1/a,smollm2", "model='pypi://P==1/a',smollm2"),
        ("model='pypi://P==1/a'", "model='pypi://P==1/a'"),
        ("run_dir=a b, c", "run_dir='a b, c'"),
        ("run_dir=runs/${now:%Y}", "run_dir=runs/${now:%Y}"),
        ("task=choice(arc_easy,gsm8k)", "task=choice(arc_easy,gsm8k)"),
        ("search.c=1,2", "search.c=1,2"),
    ],
)
def test_only_names_that_hydra_would_trip_over_are_quoted(typed: str, quoted: str) -> None:
    assert quote_names(typed) == quoted


def test_several_gpus_a_replica_need_a_device_map() -> None:
    with pytest.raises(UserError, match=r"cluster\.gpus_per_replica=2 needs model\.device_map=auto"):
        compose_settings(["cluster.gpus_per_replica=2", "run_dir=r"])
    settings = compose_settings(["cluster.gpus_per_replica=2", "model.device_map={lm_head:1,model:0}", "run_dir=r"])
    assert settings.model.device_map == {"lm_head": 1, "model": 0}


def own_configuration(folder: Path) -> str:
    """A folder with a model, a task and an experiment of the user's own."""
    files = {
        "model/mine": "name: mine\nhub_id: owner/name\n",
        "model/heir": "defaults: [smollm2]\nname: heir\n",
        "task/taught": "name: arc_easy\nsplit: train\n",
        "experiment/both": "# @package _global_\ndefaults:\n  - override /model: mine\n  - override /task: taught\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
    return str(folder)


@pytest.mark.parametrize("overrides", [["model=mine", "task=taught"], ["experiment=both"]])
def test_a_folder_of_the_users_own_holds_models_and_tasks(tmp_path: Path, overrides: list[str]) -> None:
    (settings,) = compose_jobs(overrides, sweep=False, config_dir=own_configuration(tmp_path))
    assert (settings.model.hub_id, settings.task.name, settings.task.split) == ("owner/name", "arc_easy", "train")


def test_beside_such_a_folder_our_files_and_any_name_are_known_still(tmp_path: Path) -> None:
    folder = own_configuration(tmp_path)
    jobs = compose_jobs(["model=heir,smollm2,other/name", "task=taught,triviaqa"], sweep=True, config_dir=folder)
    assert [job.model.hub_id for job in jobs[:4:2]] == ["HuggingFaceTB/SmolLM2-135M-Instruct"] * 2
    assert [(job.model.name, job.task.name) for job in jobs[4:]] == [
        ("other/name", "arc_easy"),
        ("other/name", "triviaqa"),
    ]


def test_a_wrong_key_in_a_file_of_the_users_own_is_named(tmp_path: Path) -> None:
    folder = own_configuration(tmp_path)
    (tmp_path / "model/mine.yaml").write_text("name: mine\nhubid: owner/name\n")
    with pytest.raises(UserError, match="hubid"):
        compose_jobs(["model=mine"], sweep=False, config_dir=folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name: [mine\n", r"A configuration file is not YAML: .*model/mine.yaml"),
        (b"name: \xff\n", r"A configuration file is not YAML: .*can't decode byte"),
        (b"- mine\n", r"In 'model/mine': .*: \w+"),
    ],
)
def test_a_file_of_the_users_own_that_is_no_mapping_is_one_whole_sentence(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    folder = own_configuration(tmp_path)
    (tmp_path / "model/mine.yaml").write_bytes(content)
    with pytest.raises(UserError, match=reason) as caught:
        compose_jobs(["model=mine"], sweep=False, config_dir=folder)
    assert "\n" not in str(caught.value)
