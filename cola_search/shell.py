"""What every command of this package keeps to: its exit code, errors of one sentence, and a reader that may have left."""

import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

from rich.console import Console

from cola_search.errors import UserError

OK, JOB_FAILED, USER_ERROR, INTERRUPTED = 0, 1, 2, 130


def run_command(name: str, work: Callable[[], int]) -> int:
    """Does the work of a command and returns its exit code, which is 2 for a UserError and 130 for Ctrl-C.

    A character that the terminal or the file does not have is printed as its escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return work()
    except UserError as error:
        complain(name, str(error))
        return USER_ERROR
    except KeyboardInterrupt:
        complain(name, "stopped.")
        return INTERRUPTED


def complain(name: str, sentence: str) -> None:
    """Prints what a command has to say beside its result."""
    _print(f"{name}: {sentence}", sys.stderr)


def tell(text: str) -> None:
    """Prints a result."""
    _print(text, sys.stdout)


def _print(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        _let_go(stream)


class LastingConsole(Console):
    """Prints as `tell` does, or as `complain`. A reader that left, such as `head`, has seen enough: that ends no work."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)

    def on_broken_pipe(self) -> None:
        """Does not end the process, as rich would."""
        _let_go(sys.stderr if self.stderr else sys.stdout)


def _let_go(stream: TextIO) -> None:
    """From now on nobody hears the stream, not even what is in its buffer."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
