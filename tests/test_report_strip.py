"""The picture of a chain."""

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cola_search.chain import Chain
from cola_search.report.strip import passes, strip_svg

SVG = "{http://www.w3.org/2000/svg}"


def boxes(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{SVG}rect"))


def test_a_pass_ends_where_the_chain_steps_back():
    assert passes(Chain.parse("0-2 (1-2)x2 5")) == [[0, 1, 2], [1, 2], [1, 2, 5]]
    assert passes(Chain.parse("(0)x2 1")) == [[0], [0, 1]]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_the_passes_in_order_are_the_chain(layers):
    assert [layer for cut in passes(Chain(layers)) for layer in cut] == layers


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_every_run_and_every_skipped_layer_has_one_box(layers):
    chain = Chain(layers)
    drawn = boxes(strip_svg(chain, 10))
    assert sum("stroke-dasharray" not in box.attrib for box in drawn) == len(chain)
    assert sum("stroke-dasharray" in box.attrib for box in drawn) == len(chain.skipped(10))


def test_another_run_of_a_layer_has_another_colour_than_its_first():
    once, again = (box.get("fill") for box in boxes(strip_svg(Chain([0, 0]), 1)))
    assert once != again


@pytest.mark.parametrize("num_layers", [1, 30, 80, 126])
def test_the_picture_is_no_wider_than_asked(num_layers):
    root = ElementTree.fromstring(strip_svg(Chain.identity(num_layers), num_layers, width=500))
    assert float(root.get("width")) <= 500


@pytest.mark.parametrize("num_layers", [27, 32, 82])
def test_the_number_of_the_last_layer_stands_apart_from_the_one_before(num_layers):
    """Layers 25 and 26 of 27: two numbers of two digits need 14 pixels."""
    root = ElementTree.fromstring(strip_svg(Chain.identity(num_layers), num_layers, width=300))
    places = [float(text.get("x")) for text in root.iter(f"{SVG}text")]
    assert min(after - before for before, after in itertools.pairwise(places)) >= 14
