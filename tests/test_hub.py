"""The hub as a source: what is asked for, what is refused, and quick sentences where it is away."""

from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from cola_search.errors import UserError
from cola_search.model import hub
from cola_search.model.config import ModelConfig
from cola_search.model.hub import HubUnavailable, hub_folder

CONFIG = ModelConfig(name="x", hub_id="owner/name", source="hub")


class FakeHub:
    """A hub that answers with a list of files, or with an error, and notes what is downloaded."""

    def __init__(self, folder: Path, files: list[str] | None = None, error: Exception | None = None) -> None:
        self.folder, self.files, self.error = folder, files or [], error
        self.asked: dict[str, Any] = {}

    def model_info(self, repo_id: str, *, revision: str | None, timeout: float) -> SimpleNamespace:
        assert timeout <= 10
        if self.error:
            raise self.error
        return SimpleNamespace(sha="c0ffee", siblings=[SimpleNamespace(rfilename=name) for name in self.files])

    def snapshot_download(self, repo_id: str, **asked: Any) -> str:
        self.asked = asked
        return str(self.folder)


def put(monkeypatch: pytest.MonkeyPatch, fake: FakeHub) -> FakeHub:
    monkeypatch.setattr(hub, "HfApi", lambda: fake)
    monkeypatch.setattr(hub, "snapshot_download", fake.snapshot_download)
    return fake


def http_error(kind: type[Exception]) -> Exception:
    return kind("refused", response=SimpleNamespace(headers={}, request=None, status_code=403, text=""))  # type: ignore[call-arg]


def test_the_commit_that_the_hub_names_is_downloaded_without_code_or_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = put(
        monkeypatch, FakeHub(tmp_path, ["model.safetensors", "config.json", "modeling_x.py", "pytorch_model.bin"])
    )
    assert hub_folder(CONFIG) == (tmp_path, "c0ffee")
    assert fake.asked["revision"] == "c0ffee"
    assert not any(pattern.endswith((".py", ".bin")) for pattern in fake.asked["allow_patterns"])


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["x.gguf", "README.md"], ["x.gguf"]),
        (["a.safetensors", "x.gguf", "config.json"], ["a.safetensors", "config.json"]),
    ],
)
def test_the_only_gguf_file_is_downloaded_where_there_are_no_safetensors(
    files: list[str], wanted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = put(monkeypatch, FakeHub(tmp_path, files))
    hub_folder(CONFIG)
    patterns = fake.asked["allow_patterns"]
    assert [name for name in files if any(fnmatch(name, pattern) for pattern in patterns)] == wanted


def test_a_repository_with_pickles_only_is_refused_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = put(monkeypatch, FakeHub(tmp_path, ["pytorch_model.bin", "config.json"]))
    with pytest.raises(UserError, match="The hub model owner/name holds pickled weights only"):
        hub_folder(CONFIG)
    assert fake.asked == {}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (GatedRepoError, "owner/name is gated: accept its terms on the hub and log in"),
        (RepositoryNotFoundError, "The hub knows no model owner/name"),
        (RevisionNotFoundError, "owner/name has no revision"),
    ],
)
def test_a_refusal_of_the_hub_is_one_sentence_with_a_remedy(
    kind: type[Exception], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, FakeHub(tmp_path, error=http_error(kind)))
    with pytest.raises(HubUnavailable, match=reason):
        hub_folder(CONFIG)


def test_a_hub_that_does_not_answer_leaves_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = put(monkeypatch, FakeHub(tmp_path, error=TimeoutError()))
    (tmp_path / "model.safetensors").touch()
    assert hub_folder(CONFIG) == (tmp_path, tmp_path.name)
    assert fake.asked["local_files_only"]


INDEX = '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'


@pytest.mark.parametrize(
    ("cached", "file"),
    [
        ({"tokenizer.json": "{}"}, None),
        ({"model.safetensors.index.json": INDEX, "model-1.safetensors": ""}, None),
        ({"other.gguf": ""}, "x.gguf"),
    ],
    ids=["tokenizer", "broken_download", "other_file"],
)
def test_a_cache_without_all_the_weights_counts_as_none(
    cached: dict[str, str], file: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, FakeHub(tmp_path, error=TimeoutError()))
    for name, text in cached.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(HubUnavailable, match="the local cache does not hold it"):
        hub_folder(replace(CONFIG, file=file))


def test_a_cache_with_all_parts_of_the_weights_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, FakeHub(tmp_path, error=TimeoutError()))
    for name in ("model-1.safetensors", "model-2.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "model.safetensors.index.json").write_text(INDEX)
    assert hub_folder(CONFIG)[0] == tmp_path


def test_a_hub_that_does_not_answer_and_an_empty_cache_say_so_at_once() -> None:
    with pytest.raises(HubUnavailable, match="the hub does not answer, and the local cache does not hold it"):
        hub_folder(CONFIG)  # the tests run with the hub switched off
