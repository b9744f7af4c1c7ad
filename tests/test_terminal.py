"""The result as it is printed."""

import io
from dataclasses import asdict, replace

from record_fixture import decoy, record
from rich.console import Console

from cola_search.records import BaseVerdict, Probe
from cola_search.report.summary import TaskFacts, summarize
from cola_search.report.terminal import print_summary, print_sweep


def printed(show: object, *arguments: object, width: int = 80) -> str:
    stream = io.StringIO()
    show(*arguments, Console(file=stream, width=width, highlight=False))  # type: ignore[operator]
    return stream.getvalue()


def records() -> list:
    return [record("a", best=7), record("b", right=False, best=13, controls=decoy(True, 9)), record("c", best=12)]


def written(answer: str) -> BaseVerdict:
    return BaseVerdict(correct=False, prediction=answer, margin=None, verified=False)


def line(text: str, start: str) -> str:
    return next(row for row in text.splitlines() if row.strip().startswith(start))


def test_a_result_reads_with_counts_and_intervals_on_80_columns() -> None:
    text = printed(print_summary, summarize(records(), TaskFacts(chance=0.25)), "runs/a")
    assert line(text, "base accuracy").split()[2:] == ["67%", "2/3", "21%", "to", "94%"]
    assert line(text, "found accuracy (oracle)").split()[3:5] == ["100%", "3/3"]
    assert line(text, "decoy reached").split()[-5:] == ["100%", "1/1", "21%", "to", "100%"]
    assert max(map(len, text.splitlines())) <= 80
    assert text.rstrip().endswith("runs/a")


def test_words_of_controls_are_explained_where_there_are_some() -> None:
    without = printed(print_summary, summarize([record("a", best=7)]), "runs/a")
    assert "oracle: " in without and "decoy: " not in without and "those of controls" not in without
    beside = printed(print_summary, summarize(records()), "runs/a")
    assert "decoy: the same search" in beside and "those of controls are not counted" in beside


def test_no_label_of_a_control_breaks_beside_a_probe_that_does_not_apply() -> None:
    control = decoy(True, 9)["decoy"]
    probes = {"pass_at_k": Probe(tries=8, right=4, reached=0.9)}
    bad = record("b", right=False, best=13, controls={"decoy": control, "random": control}, probes=probes)
    text = printed(print_summary, summarize([record("a", best=7), bad]), "runs/a")
    table = text.partition("oracle: ")[0].splitlines()[3:]
    assert all(row.split()[-1][-1] in "%/0123456789" for row in table if row.strip())
    assert line(text, "fixed by random chains, same items") and line(text, "pass@8 of the base, same items")


def test_what_controls_spent_stands_beside_what_the_search_spent() -> None:
    """Random chains have the search's simulations, and may spend many times its layer executions."""
    both = {
        **decoy(True, 9),
        "random": replace(decoy(False)["decoy"], target=None, evaluations=90, layer_executions=2000.0),
    }
    text = printed(print_summary, summarize([record("b", right=False, best=13, controls=both)]), "runs/a", width=140)
    assert "8 evaluations, 64 layer executions" in text
    assert "decoys: 8 evaluations, 70 layer executions" in text
    assert "random chains, with the same simulations: 90 evaluations, 2,000 layer executions" in text


def test_a_mean_says_what_its_brackets_hold() -> None:
    text = printed(print_summary, summarize(records()), "runs/a")
    assert "where the base is right: mean 2.5 (95%: " in text
    assert "reached a decoy, base right or wrong: mean 9.0" in " ".join(text.split())


def test_found_chains_are_shown_with_their_question_and_answer() -> None:
    text = printed(print_summary, summarize(records()), "runs/a")
    assert "0-6   7 of 12 layers, shortened\n  What is a?\n  east" in "\n".join(
        row.rstrip() for row in text.splitlines()
    )
    assert "0-12   13 of 12 layers, fixed" in text and "south -> east" in text


def test_text_of_a_question_is_never_taken_for_markup() -> None:
    odd = record("a", best=7, question="Is [bold]x[/bold] or [/red] a tag?")
    assert "Is [bold]x[/bold] or [/red] a tag?" in printed(print_summary, summarize([odd]), "runs/a")


def test_a_written_answer_of_many_lines_is_cut_to_one() -> None:
    long = record("a", right=False, best=7, choices=None, gold="72\n" * 90, base=written("so\n" * 90))
    text = printed(print_summary, summarize([long]), "runs/a", width=140)
    (answers,) = [row for row in text.splitlines() if " -> " in row]
    assert answers.strip().startswith("so so so") and answers.count("so") < 40 and "72 72 72" in answers


def test_the_time_of_controls_that_are_no_search_is_told_too() -> None:
    drawn = record("a", probes={"pass_at_k": Probe(tries=8, right=4, reached=0.9)})
    assert "the time that they took is" in printed(print_summary, summarize([drawn]), "runs/a")


def test_warnings_are_printed() -> None:
    assert "! No decoys were run" in printed(print_summary, summarize([*records()[:1], record(right=False)]), "runs/a")


def test_a_mean_without_spread_says_that_it_has_no_interval() -> None:
    fixes = [record(name, right=False, best=9) for name in "ab"]
    text = printed(print_summary, summarize(fixes), "runs/a", width=140)
    assert "evaluations to the first fix: mean 4.0, no interval: all 2 agree" in text


def test_a_run_of_nothing_can_be_printed() -> None:
    assert "0/0" in printed(print_summary, summarize([]), "runs/a")


def test_a_sweep_is_a_table_of_what_differs_with_its_failures() -> None:
    done = asdict(summarize(records()))
    text = printed(print_sweep, {"seed=0,task=x": done, "seed=1,task=x": None}, "runs/sweep")
    assert line(text, "seed=0").split()[:3] == ["seed=0", "67%", "(2/3)"]
    assert line(text, "seed=1").split() == ["seed=1", "failed"]
    assert line(text, "job").split() == ["job", "base", "oracle", "fixed", "decoy", "shortened", "saved", "samples"]
    fixed_and_decoy = line(text, "seed=0").split()[5:9]
    assert fixed_and_decoy == ["100%", "(1/1)", "100%", "(1/1)"]
    without = printed(print_sweep, {"seed=0": asdict(summarize([record("a", best=7)]))}, "runs/sweep")
    assert line(without, "seed=0").split()[7] == "-"
    assert "task=x" not in text
    assert "not corrected for each other" in text and "not corrected" not in without
