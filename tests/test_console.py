"""What tables in a terminal are made of."""

from io import StringIO

from rich.console import Console

from cola_search.report.console import p_value, percent, span, wide_console


def test_numbers_that_are_not_known_are_dashes_and_no_p_value_reads_as_zero() -> None:
    assert (percent(None), percent(0.451), percent(0.451, 1)) == ("-", "45%", "45.1%")
    assert (span([None, None, None]), span([0.015, -0.005, 0.035])) == ("-", "+1.5 (-0.5 to +3.5)")
    assert (p_value(0.0004), p_value(0.25)) == ("<0.001", "0.250")


def test_a_pipe_has_no_width_to_keep_to() -> None:
    assert wide_console(Console(file=StringIO(), width=60)).width == 140
    assert wide_console(Console(file=StringIO(), width=60, force_terminal=True)).width == 60
