"""The driver: a run from settings to summary, and going on with one, on a tiny model and real items."""

import json
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from safetensors.torch import load_file, save_file

from cola_search.backend import ReplicaBroken
from cola_search.cluster_settings import ClusterSettings
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.pool import GIVEN_UP
from cola_search.run import run
from cola_search.settings import Settings


def settings(tiny_folder: Path, run_dir: Path, *overrides: str) -> Settings:
    return compose_settings([
        f"model='{tiny_folder}'", "model.dtype=float32", "samples=4", "search.simulations=12", "engine.memory=50MB",
        "cluster.mode=inprocess", "tracking=none", f"run_dir='{run_dir}'", *overrides,
    ])  # fmt: skip


def lines(run_dir: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run_dir / "records.jsonl").read_text().splitlines()]
    return sorted(({**row, "seconds": 0} for row in rows), key=lambda row: row["sample"])


def test_a_run_leaves_the_folder_that_the_contract_lists(tiny_folder: Path, tmp_path: Path) -> None:
    summary = run(settings(tiny_folder, tmp_path / "r"), command="cola-search")
    assert summary.samples == 4
    assert {path.name for path in (tmp_path / "r").iterdir()} >= {
        "records.jsonl", "summary.json", "report.html", "config.yaml", "provenance.json",
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["inprocess", "ray"])
def test_a_search_that_does_not_fit_the_model_ends_the_run_without_a_record(
    tiny_folder: Path, tmp_path: Path, mode: str
) -> None:
    cluster = ["cluster.mode=ray", "cluster.replicas=1", "cluster.cpus_per_replica=0.5", "cluster.address=local"]
    overrides = cluster if mode == "ray" else []
    with pytest.raises(UserError, match=r"search\.min_length=50 is above the 6 layers of the model"):
        run(settings(tiny_folder, tmp_path, "search.min_length=50", *overrides))
    assert lines(tmp_path) == []
    assert run(settings(tiny_folder, tmp_path, "samples=1")).samples == 1  # the folder is free for the mended command


def test_a_run_that_was_cut_anywhere_goes_on_to_the_same_records(tiny_folder: Path, tmp_path: Path) -> None:
    run(settings(tiny_folder, tmp_path / "whole"))
    run(settings(tiny_folder, tmp_path / "cut"))
    path = tmp_path / "cut" / "records.jsonl"
    text = path.read_text()
    path.write_text(text[: len(text) * 2 // 3])  # in the middle of a line
    run(settings(tiny_folder, tmp_path / "cut"))
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")


def test_a_finished_run_is_only_summed_up_again(tiny_folder: Path, tmp_path: Path) -> None:
    run(settings(tiny_folder, tmp_path))
    before = (tmp_path / "records.jsonl").read_bytes()
    speed = json.loads((tmp_path / "summary.json").read_text())["evaluations_per_second"]
    again = run(settings(tiny_folder, tmp_path))
    assert (again.samples, again.evaluations_per_second) == (4, speed)
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_a_summary_that_cannot_be_read_is_written_anew(tiny_folder: Path, tmp_path: Path) -> None:
    run(settings(tiny_folder, tmp_path, "samples=1"))
    (tmp_path / "summary.json").write_text("{")
    assert run(settings(tiny_folder, tmp_path, "samples=1")).evaluations_per_second


def test_other_settings_in_the_same_folder_are_refused_by_key(tiny_folder: Path, tmp_path: Path) -> None:
    run(settings(tiny_folder, tmp_path))
    with pytest.raises(UserError, match=r"search\.c \(0\.3 there, 0\.7 here\)"):
        run(settings(tiny_folder, tmp_path, "search.c=0.7"))


def test_a_run_does_not_go_on_with_other_weights_in_the_same_folder(tiny_folder: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    run(settings(model, tmp_path / "r", "samples=2"))
    weights = load_file(model / "model.safetensors")
    save_file({name: tensor * 1.5 for name, tensor in weights.items()}, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="the weights are not those that this run began with"):
        run(settings(model, tmp_path / "r", "samples=3"))
    assert len(lines(tmp_path / "r")) == 2


def test_a_run_does_not_go_on_in_another_precision_until_it_is_told_the_old_one(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for able, samples in (({"avx512_bf16": True}, 1), ({}, 2)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        go_on = settings(tiny_folder, tmp_path, f"samples={samples}", "model.dtype=auto")
        if able:
            run(go_on)
        else:
            with pytest.raises(UserError, match=r"set model\.dtype=bfloat16, or choose another run_dir"):
                run(go_on)
    assert run(settings(tiny_folder, tmp_path, "samples=2", "model.dtype=bfloat16")).samples == 2


@pytest.mark.parametrize("replicas", [1, 2])
def test_ray_replicas_give_the_records_of_one_process(tiny_folder: Path, tmp_path: Path, replicas: int) -> None:
    run(settings(tiny_folder, tmp_path / "one"))
    overrides = [
        "cluster.mode=ray",
        f"cluster.replicas={replicas}",
        "cluster.cpus_per_replica=0.5",
        "cluster.address=local",
    ]
    run(settings(tiny_folder, tmp_path / "ray", *overrides))
    assert lines(tmp_path / "ray") == lines(tmp_path / "one")


@pytest.mark.parametrize(
    ("overrides", "reserved"),
    [
        ([], "auto"),
        (["model.device=cpu"], 0),
        (["model.device=cpu", "cluster.gpus_per_replica=1"], 1),
        (["model.device=cuda"], "auto"),
    ],
)
def test_a_model_that_is_told_to_stay_on_the_cpu_reserves_no_gpu(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], reserved: float | str
) -> None:
    def made(cluster: ClusterSettings, *_: object) -> NoReturn:
        raise UserError(f"reserves {cluster.gpus_per_replica}")

    monkeypatch.setattr("cola_search.run.make_backend", made)
    with pytest.raises(UserError, match=f"^reserves {reserved}"):
        run(settings(tiny_folder, tmp_path, *overrides))


@pytest.mark.parametrize("asked", [False, True])
def test_what_was_given_up_is_tried_again_only_if_asked_for(tiny_folder: Path, tmp_path: Path, asked: bool) -> None:
    run(settings(tiny_folder, tmp_path / "whole"))
    run(settings(tiny_folder, tmp_path / "lost"))
    path = tmp_path / "lost" / "records.jsonl"
    first, *others = path.read_text().splitlines()
    lost = {**json.loads(first), "error": f"{GIVEN_UP}its process died"}
    path.write_text("\n".join([json.dumps(lost), *others]) + "\n")
    resumed = run(settings(tiny_folder, tmp_path / "lost", f"cluster.retry_given_up={str(asked).lower()}"))
    assert resumed.samples == 4
    assert (lines(tmp_path / "lost") == lines(tmp_path / "whole")) == asked
    assert len({row["sample"] for row in lines(tmp_path / "lost")}) == len(lines(tmp_path / "lost")) == 4


def test_a_sample_that_kills_every_replica_ends_as_an_error_at_every_try(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    class Deadly:
        def work(self, sample_ids: list[str]) -> list[dict[str, Any]]:
            tries.extend(sample_ids)
            raise ReplicaBroken("CUDA error")

    monkeypatch.setattr("cola_search.run.make_worker", lambda _: Deadly())
    for count in (1, 2):
        run(settings(tiny_folder, tmp_path, "samples=1", "cluster.retry_given_up=true"))
        (row,) = lines(tmp_path)
        assert row["error"].startswith(GIVEN_UP) and len(tries) == 2 * count
