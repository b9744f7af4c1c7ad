"""What is scored, kept, read again, and charged to whom."""

import json
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from objective_fakes import Item, board, items, judge

from cola_search.chain import Chain
from cola_search.errors import FolderRefused
from cola_search.model.prefixes import Prefixes, RowPool
from cola_search.objective.board import Board, View
from cola_search.outcome import Score
from cola_search.scoring import FakeScorer, Priced, Scored, Work

BASE = Chain.identity(8)
SHORT = BASE.skip(3, 2)
ITEMS = items(300, [0.1] * 8)


class Keeping(FakeScorer):
    """Charges as the engine does: what chains begin with is kept until the process ends; 5 more a chain for what it writes."""

    def __init__(self) -> None:
        super().__init__(judge)
        self.kept: dict[str, Prefixes] = defaultdict(
            lambda: Prefixes(RowPool(1, 1, torch.float32, torch.device("cpu")), 1, 1)
        )

    def price_many(self, work: Work) -> list[Priced]:
        priced = []
        for item, chains in work:
            shared = float(self.kept[item.id].charge([tuple(chain) for chain in chains]))
            priced.append(Priced([judge(item, chain) for chain in chains], shared + 5 * len(chains), shared))
        return priced


def drawn(rng: np.random.Generator) -> list[tuple[list[Chain], int]]:
    """Requests for some chains on some first items."""
    chains = [BASE, *(BASE.skip(int(rng.integers(8)), 1).repeat(int(rng.integers(7)), 1, 1) for _ in range(12))]
    return [
        ([chains[i] for i in rng.choice(13, 4)], int(upto)) for upto in rng.integers(1, 300, size=15) for _ in range(2)
    ]


def total(known: Board, chains: list[Chain]) -> float:
    return sum(sum(known.known(chain).costs) for chain in chains)


def test_a_board_charges_what_the_engine_does_that_serves_it_alone() -> None:
    for seed in range(5):
        scorer, known = Keeping(), Board(Keeping(), ITEMS)
        requests = drawn(np.random.default_rng(seed))
        asked: dict[str, set[Chain]] = defaultdict(set)
        spent = 0.0
        for chains, upto in requests:
            known.fill(chains, upto)
            work = [(item, [c for c in dict.fromkeys(chains) if c not in asked[item.id]]) for item in ITEMS[:upto]]
            spent += sum(priced.layer_executions for priced in scorer.price_many([one for one in work if one[1]]))
            for item, some in work:
                asked[item.id].update(some)
        every = list(dict.fromkeys(chain for chains, _ in requests for chain in chains))
        assert total(known, every) == pytest.approx(spent, rel=1e-3)


def test_what_the_scorer_kept_or_dropped_besides_is_not_charged() -> None:
    used = Keeping()
    used.price_many([(item, [BASE, SHORT]) for item in ITEMS])
    boards = [Board(scorer, ITEMS) for scorer in (used, Keeping())]
    for known in boards:
        known.fill([BASE, SHORT], 40)
    assert boards[0].known(SHORT) == boards[1].known(SHORT)


def test_a_board_that_is_gone_on_with_charges_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    requests = drawn(np.random.default_rng(7))
    whole, path = Board(Keeping(), ITEMS), tmp_path / "a.jsonl"
    for i, (chains, upto) in enumerate(requests):
        whole.fill(chains, upto)
        Board(Keeping(), ITEMS, path).fill(chains, upto)
        if i % 4 == 3:  # a crash in the middle of the line
            path.write_bytes(path.read_bytes()[:-30])
            again = Board(Keeping(), ITEMS, path)
            for before in requests[: i + 1]:
                again.fill(*before)
    again = Board(Keeping(), ITEMS, path)
    for chain in dict.fromkeys(chain for chains, _ in requests for chain in chains):
        assert again.known(chain) == whole.known(chain)


def test_only_what_is_missing_is_scored() -> None:
    asked: list[tuple[str, Chain]] = []

    def counting(item: Item, chain: Chain) -> Score:
        asked.append((item.id, chain))
        return judge(item, chain)

    known = board(ITEMS, by=counting)
    known.fill([BASE, SHORT], 20)
    known.fill([BASE], 30)
    known.fill([SHORT, BASE, SHORT], 40)
    assert len(asked) == len(set(asked)) == 80


def test_chains_have_their_verdicts_in_the_order_of_the_items() -> None:
    known = board(ITEMS)
    known.fill([SHORT], 300)
    assert known.known(SHORT).verdicts == "".join(str(int(judge(item, SHORT).correct)) for item in ITEMS)


def test_what_is_in_the_file_is_not_scored_again(tmp_path: Path) -> None:
    first = board(ITEMS, tmp_path / "a.jsonl")
    first.fill([BASE, SHORT], 270)
    again = board(ITEMS, tmp_path / "a.jsonl", by=lambda item, chain: pytest.fail("scored again"))
    again.fill([BASE, SHORT], 270)
    assert again.known(SHORT) == first.known(SHORT)


def test_a_torn_last_line_is_scored_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    whole = board(ITEMS, path)
    whole.fill([BASE, SHORT], 300)
    path.write_bytes(path.read_bytes()[:-100])
    again = board(ITEMS, path)
    again.fill([BASE, SHORT], 300)
    assert again.known(SHORT) == whole.known(SHORT)
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_file_of_other_items_is_refused(tmp_path: Path) -> None:
    board(ITEMS, tmp_path / "a.jsonl").fill([BASE], 10)
    with pytest.raises(FolderRefused, match="choose another run_dir"):
        board(ITEMS[1:], tmp_path / "a.jsonl")


def test_a_view_pays_for_what_it_looks_at_even_if_another_did_before() -> None:
    known = board(ITEMS)
    first, second = View(known, BASE), View(known, BASE)
    first.see([SHORT], 50)
    second.see([SHORT], 50)
    second.see([SHORT], 20)
    assert first.layer_executions == second.layer_executions == 50 * (8 + 6)
    assert first.evaluations == second.evaluations == 100


def test_a_view_with_a_limit_turns_away_what_would_pass_it() -> None:
    seen = View(board(ITEMS), BASE, limit=50 * (8 + 6 + 7) + 6)
    others = [SHORT, BASE.skip(1, 1), BASE.skip(2, 1)]
    assert seen.within(others[:2], 50) == others[:2] and not seen.exhausted
    assert seen.within(others, 50) == others[:2] and seen.exhausted
    assert seen.layer_executions <= seen.limit and seen.seen(others[2]) == 0


def test_what_chains_share_makes_room_for_more_within_the_limit() -> None:
    class Sharing(FakeScorer):
        def score_many(self, work: Work) -> list[Scored]:
            return [
                scored._replace(layer_executions=scored.layer_executions / 3) for scored in super().score_many(work)
            ]

    seen = View(Board(Sharing(judge), ITEMS), BASE, limit=100 * 8 + 8)
    others = [BASE.skip(layer, 1) for layer in range(8)]
    assert len(seen.within(others, 20)) >= 8 and seen.layer_executions <= seen.limit


def test_items_on_which_a_chain_failed_are_left_out_of_the_comparison() -> None:
    failing = board(ITEMS, by=lambda item, chain: replace(judge(item, chain), error="no" if item.id == "3" else None))
    seen = View(failing, BASE)
    seen.see([SHORT], 10)
    assert seen.compare(SHORT).n == 9


def test_the_merit_is_higher_for_the_chain_that_misses_less_and_falls_back_on_verdicts() -> None:
    seen = View(board(ITEMS), BASE)
    seen.see([SHORT, BASE.skip(0, 5)], 100)
    assert seen.merit(BASE) > seen.merit(SHORT) > seen.merit(BASE.skip(0, 5))
    unknown = View(board(ITEMS, by=lambda item, chain: Score(judge(item, chain).correct, float("nan"))), BASE)
    unknown.see([SHORT], 100)
    assert unknown.merit(SHORT) == unknown.compare(SHORT).right / 100


def test_errors_do_not_count_against_the_merit_of_a_chain() -> None:
    def failing(item: Item, chain: Chain) -> Score:
        fails = chain == SHORT and int(item.id) % 5 == 0
        return Score(False, float("nan"), error="the grader failed") if fails else Score(True, 1.0)

    seen = View(board(ITEMS, by=failing), BASE)
    seen.see([SHORT], 100)
    assert seen.merit(SHORT) == pytest.approx(seen.merit(BASE)) and seen.judged(SHORT) == 80


def test_a_chain_that_always_failed_has_no_merit() -> None:
    seen = View(board(ITEMS, by=lambda item, chain: Score(False, float("nan"), error="no")), BASE)
    assert seen.merit(SHORT) == 0.0
    seen.see([SHORT], 10)
    assert seen.merit(SHORT) == 0.0


def test_what_another_view_looked_at_does_not_change_a_merit() -> None:
    known = board(ITEMS, by=lambda item, chain: Score(True, 0.1 if int(item.id) < 32 else 10.0))
    first, other = View(known, BASE), View(known, BASE)
    first.see([SHORT], 32)
    before = first.merit(SHORT)
    other.see([], 300)
    assert first.merit(SHORT) == before


@pytest.mark.parametrize("key", ["engine.mode", "engine.mix_samples", "model.attn"])
def test_a_file_of_another_setting_is_refused_by_its_name(tmp_path: Path, key: str) -> None:
    about = {"engine.mode": "auto", "engine.mix_samples": False, "model.attn": "auto"}
    Board(FakeScorer(judge), ITEMS, tmp_path / "a.jsonl", about).fill([BASE], 10)
    with pytest.raises(FolderRefused, match=rf"is of another {key}: choose another run_dir"):
        Board(FakeScorer(judge), ITEMS, tmp_path / "a.jsonl", {**about, key: "other"})


@pytest.mark.parametrize("left", [0, 10])
def test_a_file_without_one_whole_line_is_begun_anew(tmp_path: Path, left: int) -> None:
    path = tmp_path / "a.jsonl"
    board(ITEMS, path).fill([BASE], 10)
    path.write_bytes(path.read_bytes()[:left])
    board(ITEMS, path).fill([BASE], 10)
    again = board(ITEMS, path, by=lambda item, chain: pytest.fail("scored again"))
    again.fill([BASE], 10)


@pytest.mark.parametrize(("number", "line"), [(1, b"{"), (2, b"\0\0\0"), (2, b"[{}]"), (2, b"7"), (2, None)])
def test_a_damaged_line_is_told_by_its_number(tmp_path: Path, number: int, line: bytes | None) -> None:
    path = tmp_path / "a.jsonl"
    known = board(ITEMS, path)
    for upto in (10, 20, 30):
        known.fill([BASE], upto)
    lines = path.read_bytes().splitlines()
    lines[number - 1 : number] = [] if line is None else [line]
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(
        FolderRefused, match=rf"run_dir: line {number} of .*a\.jsonl is damaged .*: remove it and all lines after"
    ):
        board(ITEMS, path)


def test_a_file_of_margins_that_are_none_or_infinite_is_json_and_is_gone_on_with(tmp_path: Path) -> None:
    path, margins = tmp_path / "a.jsonl", [math.nan, math.inf, -math.inf, 1.5]

    def unlike(item: Item, chain: Chain) -> Score:
        return Score(correct=True, margin=margins[ITEMS.index(item) % 4])

    whole = board(ITEMS, path, by=unlike)
    whole.fill([BASE], 8)
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    again = board(ITEMS, path, by=lambda item, chain: pytest.fail("scored again"))
    again.fill([BASE], 8)
    assert again.known(BASE).margins == pytest.approx(whole.known(BASE).margins, nan_ok=True)
    seen = [View(one, BASE) for one in (whole, again)]
    for one in seen:
        one.see([], 8)
    assert seen[0].merit(BASE) == seen[1].merit(BASE) == pytest.approx((1 + 1 + 0 + 1 / (1 + math.exp(-1))) / 4)
