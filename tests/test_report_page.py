"""The page as a file: what is in it, and that nothing in a question can break it."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from record_fixture import record
from report_fixture import HOSTILE, make_record, synthetic_records, write_run

from cola_search.errors import UserError
from cola_search.record_writer import RecordWriter
from cola_search.report import page as page_module
from cola_search.report.compare import load_run
from cola_search.report.page import CHUNK, LIBRARIES, SCRIPTS, pack, script_json, write_report
from cola_search.report.summary import summarize, write_summary


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_run(tmp_path_factory.mktemp("run"), synthetic_records(CHUNK + 8))
    return write_report(folder).read_text(encoding="utf-8")


def unpack(page: str, name: str) -> Any:
    block = re.search(rf'id="{name}">([^<]*)<', page)
    assert block is not None
    return json.loads(gzip.decompress(base64.b64decode(block[1])))


def scripts(page: str) -> list[str]:
    return re.findall(r"<script[^>]*>(.*?)</script>", page, flags=re.DOTALL)


def test_every_sample_of_the_run_is_in_the_page_in_order(page):
    columns = unpack(page, "samples")
    assert columns["id"] == [record.sample for record in synthetic_records(CHUNK + 8)]
    assert {len(values) for values in columns.values()} == {CHUNK + 8}


def test_a_chunk_holds_the_chains_and_the_tree_of_its_samples(page):
    record = synthetic_records(CHUNK + 8)[CHUNK + 2]
    detail = unpack(page, "chunk-1")[2]
    assert [row[0] for row in detail["chains"]] == [row.chain for row in record.chains]
    assert [row[:3] for row in detail["tree"]] == [list(row)[:3] for row in record.tree]
    assert detail["best"]["chain"] == record.best.chain


def test_a_question_cannot_close_the_script_that_holds_it():
    record = make_record("</script><script>alert(1)</script>", [("0-5", 1, 0.5, 6.0)], best="0-4")
    text = script_json({"question": HOSTILE, "record": record.to_line()})
    assert "<" not in text and ">" not in text and "&" not in text
    assert json.loads(text)["question"] == HOSTILE


def test_the_page_has_only_the_scripts_that_it_should_have(page):
    packed = 1 + len(re.findall(r'id="chunk-\d+"', page))
    assert len(scripts(page)) == 1 + packed + len(LIBRARIES) + len(SCRIPTS)
    assert "window.pwned=1</script>" not in page


def test_braces_in_a_question_are_not_taken_for_a_place_in_the_template():
    assert "{{data}}" in HOSTILE
    assert unpack(f'id="x">{pack([HOSTILE])}<', "x") == [HOSTILE]


def test_half_a_character_in_a_question_does_not_stop_the_summary_or_the_page(tmp_path: Path):
    half = record("s0", question="half \udcff")
    with RecordWriter(tmp_path / "records.jsonl") as writer:
        writer.append(half)
    write_summary(
        tmp_path / "summary.json", summarize([replace(half, best=None), record("s1", best=8, question="\ud83d")])
    )
    assert write_report(tmp_path).stat().st_size > 0


def test_the_title_is_escaped(tmp_path: Path):
    record = make_record("a", [("0-5", 1, 0.5, 6.0)])
    line = record.to_line().replace('"model":"tiny"', '"model":"<b>&"')
    (tmp_path / "records.jsonl").write_text(line + "\n", encoding="utf-8")
    assert "<title>cola_search: &lt;b&gt;&amp; on toy</title>" in write_report(tmp_path).read_text(encoding="utf-8")


def test_nothing_in_the_page_asks_a_network(page):
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page.split("<script", 1)[0])
    ours = "".join((files("cola_search.report") / "assets" / name).read_text() for name in SCRIPTS)
    assert not re.search(r"fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org/2000/svg)", ours)


def test_the_scripts_put_no_text_into_the_page_as_html():
    ours = "".join((files("cola_search.report") / "assets" / name).read_text() for name in SCRIPTS)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", ours)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_vendored_library_is_the_file_that_its_note_names(name):
    assets = files("cola_search.report") / "assets"
    text = (assets / name).read_text(encoding="utf-8")
    assert hashlib.sha256(text.encode()).hexdigest() in (assets / "README.md").read_text(encoding="utf-8")
    assert "</script" not in text.lower()
    assert len(text) < 1_000_000


def test_two_builds_of_the_same_records_are_the_same_bytes(tmp_path: Path):
    folder = write_run(tmp_path, synthetic_records(5))
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_a_sample_costs_less_than_three_kilobytes_in_the_page(tmp_path: Path):
    small = len(write_report(write_run(tmp_path / "small", synthetic_records(8))).read_bytes())
    large = len(write_report(write_run(tmp_path / "large", synthetic_records(72))).read_bytes())
    assert (large - small) / 64 < 3_000


def test_a_large_run_shows_some_of_its_samples_evenly_and_counts_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_run(tmp_path, synthetic_records(25))
    every = unpack(write_report(folder).read_text(encoding="utf-8"), "samples")
    monkeypatch.setattr(page_module, "MOST_SHOWN", 10)
    page = write_report(folder).read_text(encoding="utf-8")
    assert unpack(page, "samples") == {name: column[::3] for name, column in every.items()}
    summary = json.loads(scripts(page)[0])["summary"]
    assert summary["samples"] == 25
    assert summary["warnings"][-1].startswith("This page shows 9 of 25 samples, evenly spread")


def test_facts_of_the_task_come_from_the_summary_file(tmp_path: Path):
    folder = write_run(tmp_path, synthetic_records(3))
    known = {"facts": {"metric": "acc", "chance": 0.25}, "evaluations_per_second": 12.5}
    (folder / "summary.json").write_text(json.dumps(known), encoding="utf-8")
    data = json.loads(scripts(write_report(folder).read_text(encoding="utf-8"))[0])
    assert data["summary"]["facts"]["chance"] == 0.25
    assert data["summary"]["evaluations_per_second"] == 12.5


def test_a_damaged_summary_is_named_in_the_refusal(tmp_path: Path):
    folder = write_run(tmp_path, synthetic_records(3))
    (folder / "summary.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"summary\.json"):
        write_report(folder)


def test_a_folder_without_records_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"no records\.jsonl"):
        write_report(tmp_path)


def test_a_run_without_any_record_still_makes_a_page(tmp_path: Path):
    assert write_report(write_run(tmp_path, [])).stat().st_size > 100_000


def _luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [0, 1])
def test_badges_can_be_read_in_both_themes(theme: int):
    """WCAG 2.1, 1.4.3: a contrast of at least 4.5 between the word and its tint, 13% of the colour on the panel."""
    style = (files("cola_search.report") / "assets" / "style.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style.split(":root")[1 + theme].split("}")[0]))
    for name in ("fixed", "shortened", "same", "wrong", "right", "error", "muted"):
        word, panel = colours[name], colours["panel"]
        tint = "#" + "".join(
            f"{round(0.13 * int(word[i : i + 2], 16) + 0.87 * int(panel[i : i + 2], 16)):02x}" for i in (1, 3, 5)
        )
        light, dark = sorted((_luminance(word), _luminance(tint)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, name


def warnings_of(page: str) -> list[str]:
    found = re.search(r'id="page-data">(.*?)</script>', page, flags=re.DOTALL)
    assert found is not None
    return list(json.loads(found[1])["summary"]["warnings"])


def test_a_run_that_was_stopped_says_so_and_one_that_ended_does_not(tmp_path: Path) -> None:
    """Long prompts come first, so what a stopped run has is no fair draw, and nothing tells what guessing reaches."""
    folder = write_run(tmp_path / "run", synthetic_records(3))
    assert (
        "unfinished: summary.json, which is written at its end, is missing"
        in warnings_of(write_report(folder).read_text())[0]
    )
    write_summary(folder / "summary.json", summarize(synthetic_records(3)))
    assert not any("unfinished" in warning for warning in warnings_of(write_report(folder).read_text()))
    write_run(folder, synthetic_records(4))
    assert "is of 3 samples, and there are 4" in warnings_of(write_report(folder).read_text())[0]
    assert "unfinished" in load_run(folder, "four").summary.warnings[0]
