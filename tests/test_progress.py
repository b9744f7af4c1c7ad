"""What is said while a run works."""

import io

import pytest
from record_fixture import record
from rich.console import Console

from cola_search import progress
from cola_search.progress import RunProgress, duration
from cola_search.report.tally import Tally


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def plain() -> tuple[io.StringIO, Console]:
    stream = io.StringIO()
    return stream, Console(file=stream, width=200)


def test_elsewhere_than_on_a_terminal_it_is_a_line_now_and_then_and_a_last_one(clock: Clock) -> None:
    stream, console = plain()
    tally = Tally()
    with RunProgress(100, tally, console) as shown:
        for index in range(100):
            tally.add(record(f"s{index}", best=9))
            clock.now += 1.0
            shown.update(replicas=2)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("100/100 samples: fixed 0/0, shortened 100/100, layers saved 3.0")
    assert "\x1b" not in stream.getvalue()


def test_time_left_and_speed_are_of_this_process_alone(clock: Clock) -> None:
    tally = Tally()
    for index in range(50):
        tally.add(record(f"old{index}"))
    with RunProgress(60, tally, plain()[1]) as shown:
        assert (shown.seconds_left, shown.evaluations_per_second) == (None, None)
        tally.add(record("new"))
        clock.now += 4.0
        assert shown.seconds_left == pytest.approx(4.0 * 9)
        assert shown.evaluations_per_second == pytest.approx(8 / 4.0)


def test_the_time_before_the_first_sample_was_begun_is_no_pace(clock: Clock) -> None:
    tally = Tally()
    with RunProgress(11, tally, plain()[1]) as shown:
        clock.now += 100.0
        shown.update(replicas=0)
        clock.now += 4.0
        for name in "ab":
            tally.add(record(name, seconds=4.0))
            shown.update(replicas=2)
        assert shown.evaluations_per_second == pytest.approx(16 / 4.0)
        assert shown.seconds_left == pytest.approx(4.0 / 2 * 9)
        shown.update(replicas=8)  # more of them now do not make the past faster
        assert shown.evaluations_per_second == pytest.approx(16 / 4.0)


def test_an_unknown_total_has_no_time_left(clock: Clock) -> None:
    stream, console = plain()
    tally = Tally()
    with RunProgress(None, tally, console) as shown:
        tally.add(record())
        clock.now += 1.0
        shown.update(replicas=1)
    assert stream.getvalue().startswith("1/? samples") and "left" not in stream.getvalue()
    assert "1 replica up" in stream.getvalue()


def test_on_a_terminal_the_figures_redraw_and_said_lines_stay() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True, highlight=False)
    tally = Tally()
    with RunProgress(2, tally, console) as shown:
        tally.add(record("a", right=False, best=None, error=None))
        shown.update(replicas=3)
        shown.say("sample x failed: [because]")
    text = stream.getvalue()
    assert "1/2" in text and "fixed 0/1" in text and "3 replicas up" in text and "sample x failed: [because]" in text


def test_on_a_terminal_that_cannot_redraw_lines_are_printed_while_it_works() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, highlight=False, _environ={"TERM": "dumb"})
    with RunProgress(2, Tally(), console) as shown:
        shown.update(replicas=3)
        assert "3 replicas up" in stream.getvalue()


def test_ctrl_c_while_the_display_comes_up_leaves_the_cursor_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(console: Console, hook: object) -> None:
        raise KeyboardInterrupt

    stream = io.StringIO()
    monkeypatch.setattr(Console, "push_render_hook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        RunProgress(2, Tally(), Console(file=stream, force_terminal=True))
    assert stream.getvalue().rfind("\x1b[?25h") > stream.getvalue().rfind("\x1b[?25l") >= 0


def test_failed_samples_are_counted_aloud(clock: Clock) -> None:
    stream, console = plain()
    tally = Tally()
    with RunProgress(1, tally, console) as shown:
        tally.add(record(error="x"))
        shown.update()
    assert "1 failed" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.4, "12 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (59.7, "1 min 00 s")]
)
def test_durations_read_like_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
