"""Every command and snippet of README.md does what it says, on a tiny model and in small."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from conftest import tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from cola_search import cli
from cola_search.chain import Chain
from cola_search.command import read_command
from cola_search.config import compose_jobs, compose_settings
from cola_search.hydra_source import quote_names
from cola_search.report import cli as report

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SMALL = {
    "samples": "1",
    "search.simulations": "4",
    "cluster": "inprocess",
    "tracking": "none",
    "controls": "none",
    "engine": "default",
}
FREE = ("pip", "pytest", "docker", "ray", "wandb")
"""Programs that are not ours: recognised, not run."""


def commands() -> list[str]:
    """The command lines, without their comments, split at `&&`; a line that ends with a backslash goes on."""
    lines = []
    for language, text in BLOCKS:
        if language == "" and shlex.split(text.splitlines()[0], comments=True)[:1][0] in (*FREE, "cola-search"):
            lines += text.replace("\\\n", " ").splitlines()
    words = [shlex.join(shlex.split(part, comments=True)) for line in lines for part in line.split(" && ")]
    inline = re.findall(r"`((?:cola-search|cola-report) [^`\n]+)`", README)
    return list(dict.fromkeys(filter(None, words + inline)))


def arguments(command: str) -> list[str]:
    return shlex.split(command)[1:]


OURS = [command for command in commands() if command.startswith("cola-search")]
RUNS = [command for command in OURS if not {"--help", "--info"} & set(arguments(command))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are typed, one after the other."""
    return tmp_path_factory.mktemp("readme")


@pytest.fixture(scope="module")
def thirty_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama as deep as the model that the README names."""
    place = tmp_path_factory.mktemp("thirty_layers")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=259, hidden_size=16, intermediate_size=16, num_hidden_layers=30, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=2048, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(place)
    tiny_tokenizer().save_pretrained(place)
    return place


@pytest.fixture(autouse=True)
def _typed_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield


def test_every_block_is_of_a_kind_that_is_checked_here() -> None:
    for language, text in BLOCKS:
        first = text.split()[0]
        known = first in (*FREE, "cola-search", "cola-report", "cola_search/") or first[0].isdigit()
        assert language == "python" or (language == "" and known), text


def test_chains_are_written_as_they_are_parsed() -> None:
    examples = [line.split("  ")[0] for _, text in BLOCKS if text[0].isdigit() for line in text.splitlines()]
    assert examples and [str(Chain.parse(text, 30)) for text in examples] == examples


def test_only_programs_that_are_known_are_named() -> None:
    assert {shlex.split(command)[0] for command in commands()} <= {*FREE, "cola-search", "cola-report"}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = [shlex.split(command) for command in commands() if command.startswith("pip install")]
    assert installed
    for _, _, target in installed:
        name = re.fullmatch(r"\.(?:\[(\w+)\])?", target)
        assert name is not None and name[1] in (None, *extras)


@pytest.mark.parametrize("command", RUNS)
def test_a_command_is_understood_as_it_is_typed(command: str) -> None:
    typed = read_command(arguments(command))
    launcher = [text for text in typed.overrides if not text.startswith("hydra/")]
    assert compose_jobs(launcher, sweep=typed.sweep)


@pytest.mark.parametrize("text", re.findall(r"`([\w.]+=[\w.,/-]+)`", README))
def test_a_setting_named_in_the_text_is_a_setting(text: str) -> None:
    if text.startswith("model=/"):
        pytest.skip("a folder of the reader's")
    assert compose_settings([quote_names(text)])


@pytest.mark.parametrize("path", re.findall(r"`((?:cola_search|conf|experiments|docker)/[\w./]*)`", README))
def test_a_file_named_in_the_text_exists(path: str) -> None:
    assert "NAME" in path or (ROOT / path).exists()


def test_the_commands_run_in_small_one_after_the_other(tiny_folder: Path) -> None:
    small = {**SMALL, "model": str(tiny_folder)}
    for command in commands():
        if command in RUNS and "hydra/launcher" not in command:  # tests/test_launchers.py runs those
            typed = [text for text in arguments(command) if text.partition("=")[0] not in small]
            assert cli.main([*typed, *(f"{key}={value}" for key, value in small.items())]) == 0, command
        elif command.startswith("cola-report"):
            assert report.main(arguments(command)) == 0, command


@pytest.mark.parametrize("command", [command for command in OURS if command not in RUNS])
def test_a_listing_is_printed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments(command)) == 0
    assert "smollm2" in capsys.readouterr().out


@pytest.mark.parametrize("snippet", [text for language, text in BLOCKS if language == "python"])
def test_a_snippet_runs(snippet: str, thirty_layers: Path) -> None:
    small = snippet.replace('"smollm2"', repr(str(thirty_layers)))
    assert small != snippet
    exec(compile(small, "README.md", "exec"), {"__name__": "readme"})


def test_the_house_names_every_module_of_the_first_floor() -> None:
    house = next(text for _, text in BLOCKS if text.startswith("cola_search/"))
    named = [word for word in house.split() if word.endswith(".py")]
    there = {path.name for path in (ROOT / "cola_search").glob("[!_]*.py")}
    assert {name for name in there if not any(fnmatch(name, pattern) for pattern in named)} == set()
    assert all(any(fnmatch(name, pattern) for name in there) for pattern in named)
