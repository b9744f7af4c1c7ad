"""Pictures of voids are well-formed SVG with the right cells."""

from xml.etree import ElementTree

import numpy as np

from cola_search.report.void_figures import phase_heatmap, readable, token_heatmap, usage_curves

NAME = "{http://www.w3.org/2000/svg}"


def cells(svg: str) -> list[str]:
    return [rect.get("fill", "") for rect in ElementTree.fromstring(svg).iter(f"{NAME}rect")]


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(f"{NAME}text")]


def test_a_token_heatmap_has_a_row_a_token_and_tells_voids_from_used_layers():
    svg = token_heatmap([" Paris", "<b>"], np.array([[True, False, False], [False, False, True]]), "prompt")
    void, used, *rest = cells(svg)
    assert void != used and rest == [used, used, used, void]
    assert {"·Paris", "<b>", "prompt"} <= set(texts(svg))


def test_of_a_long_prompt_the_first_tokens_are_drawn_and_that_is_said():
    svg = token_heatmap(["a"] * 401, np.zeros((401, 2), dtype=bool), "prompt")
    assert len(cells(svg)) == 800 and any("first 400 of 401" in text for text in texts(svg))


def test_a_phase_heatmap_is_darker_where_more_tokens_use_the_layer():
    def lightness(colour: str) -> int:
        return sum(int(colour[i : i + 2], 16) for i in (1, 3, 5))

    shades = [lightness(colour) for colour in cells(phase_heatmap({"PP": np.array([0.0, 0.4, 1.0])}, "used"))]
    assert shades == sorted(shades, reverse=True) and len(set(shades)) == 3


def test_usage_curves_have_a_point_for_every_alpha():
    svg = usage_curves({"smollm2 PP": [(0.8, 0.5), (0.2, 0.9)], "RG": [(0.8, 0.3)]}, "usage")
    assert len(list(ElementTree.fromstring(svg).iter(f"{NAME}circle"))) == 3
    assert {"0.2", "0.8", "smollm2 PP", "100%"} <= set(texts(svg))


def test_nothing_to_draw_is_an_empty_picture_not_a_failure():
    assert cells(token_heatmap([], np.zeros((0, 4), dtype=bool), "prompt")) == []


def test_spaces_and_breaks_of_a_token_can_be_seen():
    assert readable(" a\n") == "·a⏎" and len(readable("x" * 50)) == 20
