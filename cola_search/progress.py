"""What a run says while it works: a live line on a terminal, a plain line now and then elsewhere."""

import time
from dataclasses import replace
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn
from rich.text import Text

from cola_search.report.tally import Tally
from cola_search.shell import LastingConsole

_PLAIN_SECONDS = 30.0


class RunProgress:
    """Shows a tally while it grows. Records of an earlier command on the same folder are not in its rates.

    total: how many samples the run has in all; None if that is not known.
    """

    def __init__(self, total: int | None, tally: Tally, console: Console | None = None) -> None:
        self._total = total
        self._tally = tally
        self._earlier = replace(tally)
        self._started = self._began = time.monotonic()
        console = console or LastingConsole(stderr=True)
        live = console.is_terminal and not console.is_dumb_terminal  # a dumb one cannot redraw
        self._display = LiveDisplay(console, total) if live else PlainDisplay(console)

    def say(self, text: str) -> None:
        """Prints a line that stays."""
        self._display.say(text)

    def update(self, replicas: int | None = None) -> None:
        """Shows the tally as it is now; `replicas`: how many are up."""
        self._began = self._first_work(replicas or 1)
        self._display.show(self._tally.samples, self._total, self._text(replicas))

    @property
    def evaluations_per_second(self) -> float | None:
        """Of this process since it began to search; None before the first evaluation."""
        evaluations = self._tally.evaluations - self._earlier.evaluations
        return evaluations / self._seconds if evaluations else None

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before there is one, or if the total is not known."""
        done = self._tally.samples - self._earlier.samples
        if not done or self._total is None:
            return None
        return self._seconds / done * max(0, self._total - self._tally.samples)

    def __enter__(self) -> Self:
        self._started = self._began = time.monotonic()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._display.close()

    @property
    def _seconds(self) -> float:
        return max(1e-9, time.monotonic() - self._began)

    def _first_work(self, replicas: int) -> float:
        """When the first sample was begun, reckoned from the seconds that replicas worked: the time to start them is no pace.

        Never before this process began, and never later than an earlier answer.
        """
        worked = (self._tally.seconds - self._earlier.seconds) / replicas
        if not worked:
            return self._began
        began = max(self._started, time.monotonic() - worked)
        return began if self._began == self._started else min(self._began, began)

    def _text(self, replicas: int | None) -> str:
        tally = self._tally
        saved = sum(layers * count for layers, count in tally.layers_saved.items())
        parts = [
            f"fixed {tally.fixed}/{tally.scored - tally.base_right}",
            f"shortened {tally.shortened}/{tally.base_right}",
            f"layers saved {saved / tally.layers_saved.total():.1f}" if tally.layers_saved else "",
            f"{tally.errors} failed" if tally.errors else "",
            f"{rate:,.1f} evaluations/s" if (rate := self.evaluations_per_second) else "",
            "" if replicas is None else f"{replicas} replica{'s' * (replicas != 1)} up",
            f"{duration(left)} left" if (left := self.seconds_left) else "",
        ]
        return ", ".join(part for part in parts if part)


class LiveDisplay:
    """A bar with a line of figures below it, which redraw themselves on a terminal."""

    def __init__(self, console: Console, total: int | None) -> None:
        self._bar = Progress(SpinnerColumn(), MofNCompleteColumn(), BarColumn(bar_width=None), TimeElapsedColumn())
        self._task = self._bar.add_task("", total=total)
        self._figures = Text("starting")
        self._live = Live(Group(self._bar, self._figures), console=console, refresh_per_second=8)
        try:
            self._live.start()
        except BaseException:  # Ctrl-C too: the cursor is hidden by then
            console.show_cursor(True)
            raise

    def say(self, text: str) -> None:
        """Prints above the bar."""
        self._live.console.print(text, markup=False)

    def show(self, done: int, total: int | None, text: str) -> None:
        """Redraws the bar."""
        self._bar.update(self._task, completed=done)
        self._figures.plain = text

    def close(self) -> None:
        """Stops redrawing."""
        self._live.stop()


class PlainDisplay:
    """A line every half minute, and a last one: for log files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0
        self._unsaid = ""

    def say(self, text: str) -> None:
        """Prints the line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def show(self, done: int, total: int | None, text: str) -> None:
        """Prints the state if the last time is long enough ago, else keeps it for `close`."""
        self._unsaid = f"{done}/{total or '?'} samples: {text}"
        if time.monotonic() >= self._next:
            self.close()
            self._next = time.monotonic() + _PLAIN_SECONDS

    def close(self) -> None:
        """Prints the last state if it was not printed yet."""
        if self._unsaid:
            self.say(self._unsaid)
            self._unsaid = ""


def duration(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s` or `12 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
