"""The page in a real headless Chromium: it opens, sorts, filters, opens samples and steps, without a console error."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser_page import FLAGS, Page
from report_fixture import HOSTILE, make_record, synthetic_records, write_run

from cola_search.chain import Chain
from cola_search.records import Probe, Record, VoidPrior
from cola_search.report import page as page_module
from cola_search.report.compare import write_comparison
from cola_search.report.page import write_report

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs the Debian packages chromium and chromium-driver"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield Page(driver)
    driver.quit()


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return synthetic_records(10)


@pytest.fixture(scope="module")
def report(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_run(tmp_path_factory.mktemp("ten"), records))


@pytest.fixture
def page(browser: Page, report: Path) -> Iterator[Page]:
    """The report of ten samples, freshly opened; the test fails if the console shows an error."""
    browser.open(report)
    yield browser
    assert browser.errors() == []


def test_every_figure_is_drawn(page):
    figures = page.texts("figure h3")
    page.wait(lambda: len(page.run("return document.querySelectorAll('figure .plot svg')")) == len(figures))
    expected = ["Rates beside their controls", "Depth before and after", "Pareto cloud", "Share reached within a depth"]
    assert [title for title in figures if title in expected] == expected
    assert sum("Layer use" in title for title in figures) == 2
    assert {"Fixed, of base-wrong", "Shortened, of base-right", "Mean layers saved, base right"} < set(figures)


def test_the_fix_rate_stands_beside_the_decoy_rate_and_says_oracle(page):
    card = next(text for text in page.texts(".card") if text.startswith("fixed"))
    assert "ORACLE" in card and "decoys" in card and "random" in card


def test_warnings_of_the_summary_are_on_the_page(page):
    assert any("Fixes are not shown to stand above" in text for text in page.texts(".notice li"))


def test_the_table_shows_all_ten_samples_in_the_order_of_the_file(page, records):
    assert page.column(1) == [record.sample for record in records]


def test_a_click_on_a_head_sorts_and_another_one_turns_the_order(page):
    lengths = lambda: [int(text) for text in page.column(4) if text != "–"]  # noqa: E731
    page.click('[data-key="length"] button')
    assert lengths() == sorted(lengths()) and page.column(4)[-1] == "–"
    page.click('[data-key="length"] button')
    assert lengths() == sorted(lengths(), reverse=True) and page.column(4)[-1] == "–"
    assert page.run("return document.querySelector('[data-key=length]').getAttribute('aria-sort')") == "descending"


def test_search_and_outcome_filters_work_together(page):
    page.type("#search", "salt energy")
    assert page.column(1) == ["arc_easy-00005"]
    page.click('[data-outcome="shortened"]')
    assert page.column(1) == [] and page.texts(".empty") == ["No sample passes these filters."]
    page.type("#search", "")
    assert set(page.column(3)) == {"shortened"}
    assert page.texts("#row-count")[0].startswith(f"{len(page.column(1))} of 10")


def test_the_verification_filter_keeps_what_it_says(page):
    page.type("#verified", "true", "change")
    assert set(page.column(8)) == {"✓ yes"}


def test_a_question_that_attacks_the_page_is_only_text(page, records):
    page.open_row(1)
    assert page.texts("dialog .question") == [HOSTILE]
    assert page.texts("dialog .options .text")[0] == "</script><b>bold</b>"
    assert page.run("return window.pwned") is None
    assert page.run("return document.querySelectorAll('#page img, #page .question b, #page .text b').length") == 0


def test_an_opened_sample_shows_gold_answers_chain_margin_and_verification(page, records):
    index = next(i for i, record in enumerate(records) if record.best and not record.base.correct)
    record = records[index]
    page.open_row(index)
    gold = page.texts("dialog .options .gold")[0]
    assert record.choices[record.gold] in gold and "after" in gold and "gold" in gold
    assert "before" in page.texts("dialog .options li")[record.base.prediction]
    facts = page.texts("dialog .chain-block .facts")[1]
    assert record.best.chain in facts and "verified" in facts and "ORACLE" in facts
    boxes = "return document.querySelectorAll('dialog .chain-block:nth-child(2) rect:not([stroke-dasharray])').length"
    assert page.run(boxes) == record.best.length


def test_the_search_is_stepped_through_with_chains_and_visit_counts(page, records):
    record = records[0]
    page.open_row(0)
    assert page.texts("#step-label") == ["evaluation 90 of 90"]
    root = "return Number(document.querySelector('dialog .node').dataset.visits)"
    assert page.run(root) == record.tree[0].visits
    page.click('[data-step="first"]')
    assert page.texts("#step-label") == ["evaluation 1 of 90"] and page.run(root) == 1
    page.click('[data-step="forward"]')
    assert record.chains[1].chain in page.texts("#step-chain")[0] and "visits 1" in page.texts("#step-visits")[0]
    page.type('dialog input[type="range"]', "40")
    assert page.texts("#step-label") == ["evaluation 41 of 90"]
    assert record.chains[40].chain in page.texts("#step-chain")[0]
    future = "return document.querySelectorAll('dialog .node.future').length"
    assert page.run(future) == 90 - 41
    assert page.run(root) == 41


def test_a_click_on_a_chain_goes_to_its_step(page):
    page.open_row(0)
    page.click('dialog .chain-list tr[data-step="7"]')
    assert page.texts("#step-label") == ["evaluation 8 of 90"]
    assert page.run("return document.querySelector('.chain-list tr.now').dataset.step") == "7"


def test_play_walks_through_the_search_from_its_start(page):
    page.open_row(0)
    page.click('[data-step="play"]')
    page.wait(lambda: page.texts("#step-label")[0] not in ("evaluation 1 of 90", "evaluation 90 of 90"))
    page.click('[data-step="play"]')
    assert page.texts('[data-step="play"]') == ["▶ play"]


def test_next_goes_through_the_samples_in_the_order_of_the_table(page):
    page.click('[data-key="saved"] button')
    first, second = page.column(1)[:2]
    page.run("document.querySelector('.grid-body .grid-row').click()")
    page.wait(lambda: page.texts("dialog h2") == [first])
    page.click('[aria-label="next sample"]')
    page.wait(lambda: page.texts("dialog h2") == [second])
    page.click('[aria-label="close"]')
    assert page.run("return document.querySelector('dialog').open") is False


def test_the_theme_turns_and_changes_the_colours(page):
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = page.run(colour)
    page.click("#theme")
    assert page.run(colour) != before


def test_a_figure_is_saved_with_its_colours_written_out(page):
    page.wait(lambda: bool(page.run("return document.querySelector('#figure-depth svg')")))
    page.run("URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return '#'; }")
    page.click("#figure-depth button")
    page.wait(lambda: bool(page.run("return window.saved")))
    saved = page.run("return window.saved")
    assert saved.startswith("<svg") and "before: 30" in saved and "var(--" not in saved


def test_a_shorter_chain_that_was_not_confirmed_is_mentioned(browser, tmp_path):
    seen = [("0-5", 1, 0.5, 6.0), ("0-3", 1, 0.2, 10.0), ("0-4", 1, 0.2, 15.0)]
    browser.open(write_report(write_run(tmp_path, [make_record("a", seen, best="0-4")])))
    browser.open_row(0)
    assert any(text.startswith("1 shorter chain was right to the search") for text in browser.texts("dialog .note"))


def test_a_link_to_a_sample_opens_it(browser, report):
    browser.open(report, "#sample=arc_easy-00004")
    browser.wait(lambda: browser.texts("dialog h2") == ["arc_easy-00004"])
    assert browser.errors() == []


def test_a_link_that_cannot_be_read_opens_nothing(browser, report):
    browser.open(report, "#sample=100%")
    assert browser.texts("dialog #step-label") == [] and browser.errors() == []


@pytest.mark.parametrize(
    ("bests", "said"),
    [
        (
            ["0-1", *["0-5"] * 9],
            "Of the 10 samples that the model gets right, 1 needs fewer than its 6 layers; the shortest right chains of "
            "all 10 have a mean of 5.6 layers.",
        ),
        (
            ["0"],
            "Of the 1 sample that the model gets right, 1 needs fewer than its 6 layers; its shortest right chain has 1 layer.",
        ),
    ],
)
def test_the_first_words_say_which_mean_is_meant(browser, tmp_path, bests, said):
    full = ("0-5", 1, 0.5, 6.0)
    records = [make_record(f"s{i}", [full], best=best) for i, best in enumerate(bests)]
    browser.open(write_report(write_run(tmp_path / "run", records)))
    assert browser.texts("header .lede") == [said] and browser.errors() == []


def test_a_base_that_only_verification_calls_right_is_shown_as_right(browser, tmp_path):
    record = make_record("s", [("0-5", 0, -0.01, 6.0)], base=True, best="0-5")
    assert record.best is not None
    record = replace(record, best=replace(record.best, correct=False))
    browser.open(write_report(write_run(tmp_path / "run", [record])))
    browser.open_row(0)
    shown = browser.texts("dialog .facts")[:2]  # before and after; the steps of the search keep its own verdict
    assert ["✓ right" in text for text in shown] == [True, True]


def test_a_comparison_says_where_no_interval_can_be_told(browser, tmp_path):
    full = ("0-5", 1, 0.5, 6.0)
    runs = [
        write_run(tmp_path / name, [make_record(f"s{i}", [full], best=best) for i in range(2)])
        for name, best in (("a", "0-5"), ("b", "0-4"))
    ]
    browser.open(write_comparison(runs, tmp_path / "comparison.html"))
    (cell,) = [text for text in browser.texts("#differences td") if text.startswith("+1.0")]
    assert "no interval: all 2 agree" in cell and browser.errors() == []


def test_a_comparison_shows_the_warnings_of_its_runs_by_their_names(browser, tmp_path):
    runs = [write_run(tmp_path / name, [make_record("s", [("0-5", 0, -0.5, 6.0)], best="0-4")]) for name in "ab"]
    browser.open(write_comparison(runs, tmp_path / "comparison.html"))
    said = browser.texts(".notice li")
    assert [sum(text.startswith(f"{name}: No decoys were run") for text in said) for name in "ab"] == [1, 1]
    assert browser.errors() == []
    assert not any("650" in style for style in browser.run(BOLD))


BOLD = (
    "return [...document.querySelectorAll('#differences td.number:last-child span')].map((node) => node.style.cssText)"
)


def test_the_page_reads_chain_texts_as_python_does(page):
    texts = ["0", "0-5", "(0)x3 1", "0-11 (12-14)x2 15-27", "3-5 0-2", "0-2 (1-2)x2 5"]
    assert page.run("return arguments[0].map(cola.parseChain)", texts) == [list(Chain.parse(text)) for text in texts]


def test_nothing_is_asked_of_a_network(page):
    assert page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)") == []


def test_a_task_without_margins_and_a_search_without_a_tree_are_shown_too(browser, tmp_path):
    lines = [record.to_line() for record in synthetic_records(3, generated=True, evaluations=12)]
    bare = [Record.from_dict({**json.loads(line), "tree": []}) for line in lines]
    browser.open(write_report(write_run(tmp_path, bare)))
    browser.open_row(0)
    assert "This search keeps no tree." in browser.texts("dialog .note")
    assert browser.texts("dialog .output dt")[0] == "gold"
    gold, _, after = browser.texts("dialog .output dd")
    assert after == (gold if bare[0].best else "no chain is right")
    browser.click('[data-step="back"]')
    assert browser.texts("#step-label") == ["evaluation 11 of 12"]
    assert browser.errors() == []


def test_a_run_with_a_prior_from_voids_shows_layers_by_phase(browser, tmp_path):
    prior = VoidPrior(phase="pp", alpha=0.8, voids=[layer / 30 for layer in range(30)])
    records = [replace(record, prior=prior) for record in synthetic_records(3, evaluations=12)]
    browser.open(write_report(write_run(tmp_path, records)))
    cells = "return document.querySelectorAll('#figure-voids [aria-label=\"cell\"] rect').length"
    browser.wait(lambda: browser.run(cells) == 60)
    assert browser.errors() == []


@pytest.mark.parametrize("count", [0, 1])
def test_a_run_of_almost_nothing_opens(browser, tmp_path, count):
    browser.open(write_report(write_run(tmp_path, synthetic_records(count))))
    assert browser.texts("#row-count") == [f"{count} of {count} sample{'s' * (count != 1)}"]
    assert count or browser.texts(".empty") == ["There are no samples yet."]
    assert browser.errors() == []


def test_page_and_terminal_round_alike(page):
    """Python takes 12.5% to 12, toFixed to 13: the same rate stands in the warnings and beside the charts."""
    shares = sorted({count / of for of in range(1, 61) for count in range(of + 1)})
    assert page.run("return arguments[0].map((share) => cola.percent(share))", shares) == [f"{s:.0%}" for s in shares]
    means = [count / 16 for count in range(200)]
    assert page.run("return arguments[0].map((mean) => cola.round(mean, 1))", means) == [round(m, 1) for m in means]


def test_speeds_and_seconds_say_that_the_time_of_controls_is_in_them(browser, report, tmp_path):
    browser.open(report)
    assert any(text.startswith("evaluations per second, with the time of controls") for text in browser.texts(".chip"))
    browser.open_row(0)
    assert any(" s with the controls." in text for text in browser.texts("dialog .note"))
    browser.open(write_report(write_run(tmp_path, [make_record("a", [("0-5", 1, 0.5, 6.0)], best="0-4")])))
    assert any(text.startswith("evaluations per second ") for text in browser.texts(".chip"))


def test_a_control_that_had_nothing_to_try_is_not_applicable(browser, tmp_path):
    record = replace(make_record("a", [("0-5", 0, -1.0, 6.0)], best="0-4"), probes={"shuffle": Probe(tries=0, right=0)})
    browser.open(write_report(write_run(tmp_path, [record])))
    browser.open_row(0)
    (said,) = [text for text in browser.texts("dialog .note") if "another order" in text]
    assert said == "This chain with the options in another order: not applicable, nothing to try."


def test_one_of_anything_is_singular(browser, tmp_path):
    browser.open(write_report(write_run(tmp_path, [make_record("a", [("0-5", 0, -1.0, 6.0)], best="0")])))
    browser.open_row(0)
    text = " | ".join(browser.run("return document.body.innerText").splitlines())
    assert [one for one in re.findall(r"[^|]*\b1 (?:samples|chains|layer runs|layers)\b[^|]*", text)] == []


@pytest.fixture
def narrow(browser):
    size = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield browser
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_narrow_window_shows_labels_and_counts_of_all_rates_in_full(narrow, report):
    narrow.open(report)
    narrow.wait(lambda: bool(narrow.texts("#figure-findings .plot svg")))
    words = narrow.texts("#figure-findings svg text")
    rows = narrow.run("return cola.data.figures.forest.map((row) => `${row.label}: ${row.count} / ${row.of}`)")
    assert set(rows) <= set(words)
    cut = """const box = document.querySelector('#figure-findings').getBoundingClientRect();
        return [...document.querySelectorAll('#figure-findings svg text')].map((n) => n.getBoundingClientRect())
            .filter((r) => r.left < box.left || r.right > box.right).length"""
    assert narrow.run(cut) == 0


def test_a_narrow_window_draws_chains_with_numbers_that_can_be_read(narrow, report):
    narrow.open(report)
    tall = "return document.querySelector('#chains svg text').getBoundingClientRect().height"
    narrow.wait(lambda: narrow.run(tall) > 8)


def test_labels_of_controls_with_equal_rates_stand_apart(page):
    """Both lines at the same height: their labels are at least a line of text apart, wherever that is."""
    script = """const kinds = ['decoy', 'random'];
        return arguments[0].map((rate) => cola.controlLines(kinds.map((kind) => ({ kind, label: kind, rate }))).length
            && [0, 1].map((at) => cola.labelShifts([{ rate }, { rate }])[at]))"""
    for shifts in page.run(script, [0.0, 0.5, 1.0]):
        assert abs(shifts[0] - shifts[1]) >= 13


def test_a_large_run_says_how_much_of_it_is_shown_and_opens_nothing_that_is_not(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_SHOWN", 10)
    browser.open(write_report(write_run(tmp_path, synthetic_records(40, evaluations=4))))
    assert browser.texts("#row-count") == ["10 of 10 samples"]
    assert "This page shows 10 of 40 samples" in browser.texts("#findings li")[-1]
    shown = set(browser.column(1))
    examples = browser.run("return cola.data.summary.examples.map((example) => example.sample)")
    opened = browser.run(
        "return [...document.querySelectorAll('#chains .chain-block')].map((b) => !!b.querySelector('button'))"
    )
    assert opened == [sample in shown for sample in examples] and not all(opened)
    assert browser.errors() == []


def test_a_sample_that_failed_says_why(browser, tmp_path):
    browser.open(write_report(write_run(tmp_path, synthetic_records(40, evaluations=4))))
    browser.click('[data-outcome="error"]')
    browser.run("document.querySelector('.grid-body .grid-row').click()")
    browser.wait(lambda: bool(browser.texts("dialog .notice")))
    assert "out of memory <b>" in browser.texts("dialog .notice")[0]
    assert browser.errors() == []


def test_five_thousand_samples_open_sort_filter_and_step(browser, tmp_path):
    few = synthetic_records(40, evaluations=24)
    lines = [few[i % 40].to_line().replace(f'"{few[i % 40].sample}"', f'"item-{i:05d}"', 1) for i in range(5000)]
    (tmp_path / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    browser.open(write_report(tmp_path))
    drawn = browser.run("return document.querySelectorAll('.grid-body .grid-row').length")
    assert drawn < 100 and browser.texts("#row-count") == ["5,000 of 5,000 samples"]
    browser.click('[data-key="id"] button')
    browser.click('[data-key="id"] button')
    assert browser.column(1)[0] == "item-04999"
    browser.run("document.querySelector('.grid-scroll').scrollTop = 40 * 4980")
    browser.wait(lambda: "item-00010" in browser.column(1))
    browser.type("#search", "item-03333")
    assert browser.column(1) == ["item-03333"]
    browser.open_row(3333)
    browser.click('[data-step="back"]')
    assert browser.texts("#step-label") == ["evaluation 23 of 24"]
    assert browser.errors() == []


def test_the_comparison_has_a_row_a_run_and_draws_its_figures(browser, tmp_path):
    runs = [
        write_run(tmp_path / name, synthetic_records(12, evaluations=budget)) for name, budget in (("a", 30), ("b", 10))
    ]
    browser.open(write_comparison(runs, tmp_path / "comparison.html"))
    assert browser.texts("#results tbody b") == ["a", "b"] and browser.texts("#differences tbody b") == ["b"]
    assert "paired, 12" in browser.texts("#differences tbody small")[0]
    browser.wait(lambda: len(browser.run("return document.querySelectorAll('figure .plot svg')")) == 4)
    assert browser.errors() == []


def test_the_comparison_names_the_runs_that_it_leaves_out(browser, tmp_path):
    runs = [write_run(tmp_path / name, synthetic_records(4, evaluations=10)) for name in "abc"]
    browser.open(write_comparison(runs, tmp_path / "comparison.html", {runs[0]: "line 1 is <b>damaged</b>"}))
    assert browser.texts("header .notice li") == ["a: line 1 is <b>damaged</b>"]
    assert browser.texts("#results tbody b") == ["b", "c"] and "b" in browser.texts("#differences h2")[0]
    browser.open(write_comparison(runs, tmp_path / "comparison.html"))
    assert browser.texts("header .notice") == [] and browser.errors() == []
