"""Whether the Hugging Face hub can be reached, and what to tell the user when it cannot."""

import contextlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import datasets
import huggingface_hub.constants

SECONDS = 4
FILE_FORMATS = frozenset({"json", "csv", "parquet", "arrow", "text", "xml"})  # data sets that are files of the user's
GATED = frozenset({"Idavidrein/gpqa"})  # without a hub, nothing else says so
_ACCESS = "accept its terms on its hub page with your account, then log in here (`hf auth login`, or set HF_TOKEN)"


@cache
def reachable() -> bool:
    """Whether the hub answers within seconds; asked once a process, False at once in the libraries' offline mode."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=SECONDS)
    except Exception:  # any of the http client's errors: no name, no route, refused, proxy, certificate
        return False
    return True


@contextlib.contextmanager
def offline_unless_reachable() -> Iterator[None]:
    """Without a hub, let the libraries look into their caches only, instead of trying again and again."""
    before = datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE
    if not reachable():
        datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE = before


def failure(name: str, path: str | None, error: BaseException) -> str:
    """One sentence on why the data set of a task could not be loaded, with the remedy."""
    text, data = str(error), f"its data set {path}" if path else "its data set or grader"
    if path in FILE_FORMATS or (path and Path(path).exists()):
        return f"task.name={name}: its definition and its data ({path}) do not go together: {_in_one_line(error)}."
    if "gated" in text or isinstance(error, PermissionError):
        return f"task.name={name}: {data} is gated; {_ACCESS}."
    if not reachable():
        gated = f"; the set is gated, so also {_ACCESS}" if path in GATED else ""
        return (
            f"task.name={name}: {data} is neither in the wheels nor in the local cache, and the hub cannot be "
            f"reached; connect (or set HF_ENDPOINT to a mirror), or choose a task of the wheels, as arc_easy{gated}."
        )
    return f"task.name={name}: {data} cannot be loaded: {text.splitlines()[0] if text else repr(error)}"


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
