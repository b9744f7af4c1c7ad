"""The steps of the tree search, one at a time: select, expand, simulate, back up."""

import math

import numpy as np
from search_fakes import always_wrong, drive, find, needs, searcher

from cola_search import priors
from cola_search.search_settings import SearchSettings
from cola_search.space import make_space
from cola_search.tree import Tree
from cola_search.tree_search import (
    NOT_SCORED,
    Rules,
    backup,
    backup_error,
    child_scores,
    expand,
    select,
    simulate,
)

UCT = {"selection": "uct", "backup": "mean", "widening": 2.0, "c": 1.4}


# the four verbs


def parts(**settings: object) -> tuple[Tree, object, dict, Rules]:
    made = SearchSettings(**settings)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    space = make_space(6, priors.uniform(6), made, rng)
    tree = Tree.allocate(space.root(), rng)
    tree.visits[Tree.ROOT] = 1
    return tree, space, {space.key(space.root()): Tree.ROOT}, Rules(made, 6, rng, lambda: 10)


def grow(tree: Tree, space: object, nodes: dict, rules: Rules, rewards: list[float]) -> None:
    for reward in rewards:
        path = simulate(tree, space, nodes, rules)  # type: ignore[arg-type]
        assert path is not None
        tree.visits[path] += 1
        backup(tree, path, reward)


def test_expand_adds_the_next_untried_move() -> None:
    tree, space, nodes, _ = parts()
    tree.moves[Tree.ROOT] = space.moves(tree.states[Tree.ROOT])  # type: ignore[attr-defined]
    assert expand(tree, space, nodes, Tree.ROOT) == (1, True)  # type: ignore[arg-type]
    assert expand(tree, space, nodes, Tree.ROOT) == (2, True)  # type: ignore[arg-type]
    assert tree.prior[Tree.ROOT, :2].tolist() == tree.moves[Tree.ROOT].prior[:2].tolist()
    assert tree.next_move[Tree.ROOT] == 2


def test_a_state_that_is_known_is_linked_and_not_made_twice() -> None:
    search = searcher(num_layers=5, simulations=400, max_block=2)
    drive(search, always_wrong)
    tree, space = search._tree, search._space  # type: ignore[attr-defined]
    assert len({space.key(state) for state in tree.states}) == len(tree)
    in_degree = np.bincount(np.concatenate([tree.children[n, : tree.num_children[n]] for n in range(len(tree))]))
    assert in_degree.max() > 1


def test_the_merged_tree_has_no_cycles() -> None:
    search = searcher(num_layers=4, simulations=500, space="edits", max_length=2.0)
    drive(search, always_wrong)
    tree, space = search._tree, search._space  # type: ignore[attr-defined]
    for node in range(len(tree)):
        for child in tree.children[node, : tree.num_children[node]]:
            assert space.rank(tree.states[child]) > space.rank(tree.states[node])


def test_backup_enters_the_reward_along_the_path() -> None:
    tree, space, nodes, rules = parts()
    grow(tree, space, nodes, rules, [0.25, 0.75])
    assert tree.best[Tree.ROOT] == 0.75
    assert tree.reward_sum[Tree.ROOT] == 1.0
    assert tree.own[1] == 0.25


def test_backup_of_an_error_takes_the_visit_back_and_closes_the_leaf() -> None:
    tree, space, nodes, rules = parts()
    path = simulate(tree, space, nodes, rules)  # type: ignore[arg-type]
    assert path == [Tree.ROOT, 1]
    tree.visits[path] += 1
    backup_error(tree, path)
    assert tree.visits[:2].tolist() == [1, 0]
    assert tree.is_closed(1) and not tree.is_closed(Tree.ROOT)


def test_a_better_child_is_chosen_over_an_untried_move() -> None:
    tree, space, nodes, rules = parts(c=0.1)
    grow(tree, space, nodes, rules, [0.9])
    assert select(tree, space, Tree.ROOT, rules) == 1  # type: ignore[arg-type]


def test_an_untried_move_is_chosen_over_a_worse_child() -> None:
    tree, space, nodes, rules = parts()
    tree.own[Tree.ROOT] = 0.5
    grow(tree, space, nodes, rules, [0.1])
    assert select(tree, space, Tree.ROOT, rules) < 0  # type: ignore[arg-type]


def test_a_child_in_flight_is_less_attractive_than_the_same_child_told() -> None:
    tree, space, nodes, rules = parts(c=5.0)
    grow(tree, space, nodes, rules, [0.5, 0.5])
    before = child_scores(tree, Tree.ROOT, np.array([1, 2]), rules)
    tree.visits[1] += 1
    assert child_scores(tree, Tree.ROOT, np.array([1, 2]), rules)[0] < before[0]


def test_the_length_penalty_favours_the_shorter_child() -> None:
    tree, space, nodes, rules = parts(length_penalty=5.0, c=0.0)
    grow(tree, space, nodes, rules, [0.5] * 4)
    children = tree.children[Tree.ROOT, : tree.num_children[Tree.ROOT]]
    scores = child_scores(tree, Tree.ROOT, children, rules)
    assert children[scores.argmax()] == children[tree.length[children].argmin()]


def test_the_order_of_the_children_does_not_change_which_one_is_selected() -> None:
    for variant in ({"c": 0.0}, {**UCT, "widening": 0.1}):
        tree, space, nodes, rules = parts(**{**variant, "c": 0.0})
        grow(tree, space, nodes, rules, [0.5])
        for extra in range(5):  # equal children: only the tie noise decides
            node = tree.add(space.child(tree.states[Tree.ROOT], int(tree.moves[Tree.ROOT].ids[extra + 1])))  # type: ignore
            tree.link(Tree.ROOT, node, float(tree.prior[Tree.ROOT, 0]))
            for array in (tree.visits, tree.best, tree.reward_sum, tree.own):
                array[node] = array[1]
        tree.own[Tree.ROOT] = 0.0
        chosen = select(tree, space, Tree.ROOT, rules)  # type: ignore[arg-type]
        assert chosen > 0
        for seed in range(10):
            order = np.random.default_rng(seed).permutation(6)
            tree.children[Tree.ROOT, :6] = tree.children[Tree.ROOT, :6][order]
            tree.prior[Tree.ROOT, :6] = tree.prior[Tree.ROOT, :6][order]
            assert select(tree, space, Tree.ROOT, rules) == chosen  # type: ignore[arg-type]


def test_random_children_are_tried_at_the_asked_rate() -> None:
    greedy, random = (
        find(needs(0, num_layers=12), simulations=200, wave=1, random_child=share, c=0.0) for share in (0.0, 0.9)
    )
    children_of_root = [sum(row[0] == Tree.ROOT for row in outcome.tree) for outcome in (greedy, random)]
    assert children_of_root[1] > 2 * children_of_root[0]


def test_widening_limits_the_open_children_of_a_node() -> None:
    search = searcher(num_layers=30, simulations=200, widening=1.0, widening_exponent=0.5)
    drive(search, always_wrong)
    tree = search._tree  # type: ignore[attr-defined]
    for node in range(len(tree)):
        children = tree.children[node, : tree.num_children[node]]
        assert sum(not tree.is_closed(child) for child in children) <= math.ceil(math.sqrt(tree.visits[node]))


def test_a_node_that_was_never_told_has_no_chain_index() -> None:
    search = searcher(simulations=20, wave_ramp=8.0)
    first = search.ask()
    search.tell(first, [always_wrong(chain) for chain in first])
    search.ask()
    assert {row[1] for row in search.outcome().tree} == {0, NOT_SCORED}
