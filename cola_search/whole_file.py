"""Files that a reader sees whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write the file in pieces: beside `path`, which it becomes in one step when the block ends well."""
    part = path.with_name(path.name + ".part")
    yield part
    part.replace(path)


def write_whole(path: Path, text: str) -> Path:
    """Writes the text in one step, and returns the path. Half a character (a lone surrogate) is written as its escape."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path
