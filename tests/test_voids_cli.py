"""The command cola-voids."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from cola_search import voids_cli
from cola_search.model.loading import LoadedModel
from cola_search.model.voids import find_voids_many, judge_norms
from cola_search.voids_cli import ALPHAS, by_alpha, main, read

TEXTS = ["The capital of France is", "One two three"]


def test_the_command_writes_norms_voids_and_pictures(tiny_folder: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    code = main(
        [f"model={tiny_folder}", "task=arc_easy", "samples=2", "alpha=0.5", "max_new_tokens=3", f"run_dir={out}"]
    )
    assert code == 0
    told = capsys.readouterr().out
    assert "2 samples, alpha 0.5" in told and "PP:" in told and "RG:" in told
    summary = json.loads((out / "voids.json").read_text())
    with np.load(out / "voids.npz") as arrays:
        import torch

        expected = judge_norms(torch.from_numpy(arrays["1.pp.norms"]), 0.5)[0].numpy()
        assert (arrays["1.pp.voids"] == expected).all() and arrays["1.rg.thresholds"].shape[1] == 6
        assert [layers for _, layers in summary["samples"][1]["pp"]] == [
            np.flatnonzero(row).tolist() for row in expected
        ]
        both = np.concatenate([arrays["0.pp.voids"], arrays["1.pp.voids"]])
    assert summary["usage"]["pp"]["tokens"] == len(both)
    np.testing.assert_allclose(summary["usage"]["pp"]["used_by_layer"], 1 - both.mean(axis=0), atol=1e-6)
    page = (out / "voids.html").read_text()
    assert page.count("<svg") == 6 and page.count("<circle") == 2 * len(ALPHAS)


def test_ctrl_c_is_no_crash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(voids_cli, "read", interrupted)
    assert main([]) == 130
    assert capsys.readouterr().err == "cola-voids: stopped.\n"


def test_a_full_disk_is_told_in_one_sentence(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, **arrays: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", full)
    assert main([f"model={tiny_folder}", "task=arc_easy", "samples=1", "phases=pp", f"run_dir={tmp_path}"]) == 2
    assert f"cannot write into {tmp_path} (No space left on device): free some space" in capsys.readouterr().err


def test_usage_against_alpha_falls_and_is_that_of_each_alpha(tiny_model: LoadedModel):
    curves = {phase: dict(points) for phase, points in by_alpha(find_voids_many(tiny_model, TEXTS)).items()}
    found = find_voids_many(tiny_model, TEXTS, alpha=0.5)
    assert curves["PP"][0.5] == pytest.approx(1 - np.concatenate([each.pp for each in found]).mean())
    for shares in curves.values():
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert set(by_alpha(find_voids_many(tiny_model, TEXTS, phases=("pp",)))) == {"PP"}


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("alpha=1.5", "alpha=1.5 must lie above 0"),
        ("alpha=much", "alpha=much is not a number"),
        ("phases=all", "phases=all is not one of pp, rg, both"),
        ("heatmaps=-1", "heatmaps=-1 must not be negative"),
        ("change=no", "change=no is not one of"),
        ("search.c=1", "search.c is not known"),
        ("--fast", "--fast is not known"),
        ("boolq", "boolq: write KEY=VALUE"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(argument, said, tmp_path, capsys):
    assert main([argument, f"run_dir={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cola-voids: ") and said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_model_task_and_samples_are_those_of_cola_search():
    options, settings, named = read(["model=smollm2", "task=boolq", "samples=3", "phases=pp"])
    assert (settings.model.name, settings.task.name, settings.samples) == ("smollm2", "boolq", 3)
    assert options.phase_names == ("pp",) and not named


def test_a_folder_of_configuration_files_is_that_of_cola_search_too(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text("name: mine\nhub_id: owner/name\n")
    _, settings, _ = read(["--config-dir", str(tmp_path), "model=mine"])
    assert settings.model.hub_id == "owner/name"


def test_help_names_every_option(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"{key}=" in text for key in ("alpha", "phases", "change", "max_new_tokens", "batch_size", "run_dir"))
