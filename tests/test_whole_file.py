"""Files that a reader sees whole or not at all."""

from pathlib import Path

import pytest

from cola_search.whole_file import whole, write_whole


def test_a_reader_sees_the_file_that_was_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a.json", "old")
    with pytest.raises(OSError, match="full"), whole(path) as part:
        part.write_text("ne")
        raise OSError("full")
    assert path.read_text() == "old"
    with whole(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_half_a_character_is_written_as_its_escape(tmp_path: Path) -> None:
    assert write_whole(tmp_path / "a.txt", "caf\u00e9 \ud83d").read_text(encoding="utf-8") == "caf\u00e9 \\ud83d"
