"""Files that a reader sees whole or not at all."""

from pathlib import Path


def write_whole(path: Path, text: str) -> Path:
    """Writes the text in one step, and returns the path. Half a character (a lone surrogate) is written as its escape."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    part.replace(path)
    return path
