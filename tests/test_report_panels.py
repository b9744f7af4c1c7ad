"""The pictures of a dashboard, from records."""

import gc
import tracemalloc
from xml.etree import ElementTree

from record_fixture import decoy, record
from report_fixture import HOSTILE, synthetic_records

from cola_search.records import FoundChain, VoidPrior
from cola_search.report.panels import MOST_STRIPS, PANELS, VOIDS, Panels


def found(chain: str, length: int) -> FoundChain:
    return FoundChain(chain=chain, length=length, correct=True, margin=None, verified=True)


def test_layers_are_counted_as_skipped_once_or_repeated_for_each_group() -> None:
    fixed = record("a", right=False, best=12, controls=decoy(True, 7))
    panels = Panels.of([
        record("b", best=9),
        record("c", best=12),  # the whole model: neither fixed nor shortened
        record("d", right=False, best=None),
        type(fixed)(**{**vars(fixed), "best": found("0-5 (6-8)x2 9-10", 14)}),
    ])  # fmt: skip
    assert [dict(counts) for counts in panels.usage["shortened"]] == [{"once": 1}] * 9 + [{"skipped": 1}] * 3
    assert [dict(panels.usage["fixed"][layer]) for layer in (0, 7, 11)] == [
        {"once": 1},
        {"repeated": 1},
        {"skipped": 1},
    ]
    assert panels.lengths == {"base right": {9: 1, 12: 1}, "base wrong, fixed": {14: 1}, "decoy reached": {7: 1}}


def test_a_sample_that_failed_is_in_no_picture() -> None:
    assert Panels.of([record(error="out of memory")]).html() == Panels().html()


def test_the_chains_that_save_most_are_drawn_with_their_question() -> None:
    page = Panels.of(record(f"s{n}", best=n % 10 + 2) for n in range(60)).html()["panels/chains"]
    assert page.count("<svg") == MOST_STRIPS
    assert "<code>0-1</code>: 2 layer runs, +10 saved" in page and "What is s0?" in page and "0-9" not in page


def test_axes_are_named_and_what_used_the_gold_answer_says_so() -> None:
    pages = Panels.of([record("a", best=1), record("b", right=False, best=1, controls=decoy(True, 7))]).html()
    assert ">layer</text>" in pages["panels/layer_usage_fixed"] and "(ORACLE): n=1" in pages["panels/layer_usage_fixed"]
    depth = pages["panels/depth"]
    assert depth.count("length: layer runs; height: samples") == 3
    assert (
        "base right (ORACLE): 12" in depth
        and "base wrong, fixed (ORACLE): 12" in depth
        and "decoy reached: 12" in depth
    )
    assert "1 layer run," in pages["panels/chains"]


def test_every_picture_is_sound_svg_and_says_what_it_shows() -> None:
    pages = Panels.of(synthetic_records(30, evaluations=8)).html()
    assert tuple(pages) == PANELS
    for page in pages.values():
        for image in page.split("<svg")[1:]:
            assert ElementTree.fromstring("<svg" + image[: image.index("</svg>") + 6]).attrib["aria-label"]


def test_layers_by_phase_are_a_picture_where_the_prior_came_from_voids() -> None:
    priors = [VoidPrior(phase="pp", alpha=0.8, voids=[share] * 12) for share in (0.25, 0.75)]
    page = Panels.of(record(f"s{i}", prior=prior) for i, prior in enumerate(priors)).html()[VOIDS]
    assert page.count("PP (n=2), layer 11: 50% used") == 1
    assert VOIDS not in Panels.of([record()]).html()


def test_text_of_a_question_cannot_break_out_of_a_picture() -> None:
    page = Panels.of([record(question=HOSTILE, best=3)]).html()["panels/chains"]
    assert "&lt;/script&gt;" in page and "<script>" not in page


def test_memory_does_not_grow_with_the_records() -> None:
    def used(count: int) -> int:
        tracemalloc.start()
        panels = Panels.of(record(f"s{n}", best=n % 11 + 2) for n in range(count))
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert panels.num_layers == 12
        return size

    assert used(4000) < used(400) + 20_000
