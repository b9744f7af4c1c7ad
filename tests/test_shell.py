"""What every command keeps to: exit codes, one sentence to stderr, and a reader of its output that may have left."""

import io
import os
import sys
from collections.abc import Iterator

import pytest
from rich.text import Text

from cola_search.errors import UserError
from cola_search.shell import LastingConsole, complain, run_command, tell


@pytest.fixture(params=["stdout", "stderr"])
def unheard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a stream that is a pipe which nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, request.param, stream)
        yield request.param


def test_what_nobody_reads_any_more_ends_no_work(unheard: str) -> None:
    for _ in range(2):
        tell("a text")
        complain("cola-x", "a sentence.")


def test_a_table_that_nobody_reads_any_more_ends_no_work(unheard: str) -> None:
    console = LastingConsole(stderr=unheard == "stderr")
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
        LastingConsole().print(Text("\u00e9 \ud800"))
        return 0

    assert run_command("cola-x", work) == 0
    assert kept.getvalue() == 2 * printed
