"""What every command keeps to: exit codes, one sentence to stderr, and a reader of its output that may have left."""

import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import pytest
from rich.text import Text

from cola_search.errors import UserError
from cola_search.shell import ResultConsole, run_command, tell


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """Standard output is a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield stream


def test_a_result_that_nobody_reads_any_more_ends_no_work(unheard: TextIO) -> None:
    tell("a text")
    tell("another one")


def test_a_table_that_nobody_reads_any_more_ends_no_work(unheard: TextIO) -> None:
    console = ResultConsole()
    console.print(Text("a table"))
    console.print(Text("another one"))


def test_a_mistake_of_the_user_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> int:
        raise UserError("name a folder.")

    assert run_command("cola-x", refuse) == 2
    assert capsys.readouterr().err == "cola-x: name a folder.\n"


def test_ctrl_c_is_one_word_and_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert run_command("cola-x", interrupted) == 130
    assert capsys.readouterr().err == "cola-x: stopped.\n"


@pytest.mark.parametrize(("encoding", "printed"), [("ascii", b"\\xe9 \\ud800\n"), ("utf-8", b"\xc3\xa9 \\ud800\n")])
def test_a_character_that_the_output_does_not_have_is_printed_as_its_escape(
    encoding: str, printed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding=encoding))

    def work() -> int:
        tell("\u00e9 \ud800")
        ResultConsole().print(Text("\u00e9 \ud800"))
        return 0

    assert run_command("cola-x", work) == 0
    assert kept.getvalue() == 2 * printed
