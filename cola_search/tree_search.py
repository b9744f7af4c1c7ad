"""The tree search of one sample: select, expand, evaluate (ask, tell) and back up."""

import math
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from cola_search.chain import Chain
from cola_search.lessons import NO_LESSONS, Lessons
from cola_search.moves import Moves, State
from cola_search.outcome import Ledger, Outcome, Score, check_told
from cola_search.priors import check_table
from cola_search.rewards import reward_rule
from cola_search.search_settings import SearchSettings
from cola_search.selection import NOTHING, best_allowed, length_term, puct, uct, widening_limit
from cola_search.space import Space, make_space, renewed
from cola_search.stopping import finished
from cola_search.tree import Tree

EXPAND = -2  # the choice at a node is to try a new move
NOT_SCORED = -1  # the chain index of a node whose chain was never told
Path = list[int]  # nodes from the root to a leaf
Nodes = dict[Hashable, int]  # key of a state -> its node


class Rules(NamedTuple):
    """What selection needs besides the tree; simulations: how many were sent off so far."""

    settings: SearchSettings
    num_layers: int
    rng: np.random.Generator
    simulations: Callable[[], int]


class Search:
    """A Monte Carlo tree search for the chains of one sample. Ask for chains, score them, tell; until ask returns none.

    The identity chain is asked first and alone, then the menu for its verdict, then the tree in waves that grow with what is known.
    Everything follows from the arguments and the scores told: the same generator gives the same search, and one with a
    smaller budget of simulations is the beginning of one with a larger one, up to the size of its last wave.
    """

    def __init__(
        self,
        num_layers: int,
        settings: SearchSettings,
        prior: np.ndarray,
        rng: np.random.Generator,
        lessons: Lessons = NO_LESSONS,
    ) -> None:
        self._settings = settings
        self._space = make_space(num_layers, check_table(prior, num_layers), settings, rng, lessons.changes)
        self._tree = Tree.allocate(self._space.root(), rng)
        self._nodes = {self._space.key(self._tree.states[Tree.ROOT]): Tree.ROOT}
        self._ledger = Ledger(num_layers)
        self._rules = Rules(settings, num_layers, rng, lambda: self._ledger.simulations)
        self._reward = reward_rule(settings.reward)
        self._longest = settings.longest(num_layers)
        self._lessons = lessons
        self._menu: deque[State] = deque()
        self._menu_prior = 1.0
        self._floor = self._space.floor(self._tree.states[Tree.ROOT])
        self._waiting: dict[Chain, list[Path]] = {}

    @property
    def done(self) -> bool:
        """True iff there is nothing left to ask for: stopped, out of budget, solved, or out of chains."""
        if self._waiting or not self._ledger.scores:
            return False
        return self._tree.is_closed(Tree.ROOT) or finished(self._ledger, self._settings, self._floor)

    def ask(self) -> list[Chain]:
        """The next wave of distinct chains, none of them scored before; empty iff the search is done."""
        if self._waiting:
            raise RuntimeError("ask() before the scores of the last wave were told")
        if self.done:
            return []
        if not self._ledger.scores:
            self._launch([Tree.ROOT])
        size = self._settings.wave_size(len(self._ledger.scores))
        while len(self._waiting) < size and self._ledger.simulations < self._settings.simulations:
            if self._menu:
                self._plant(self._menu.popleft())
                continue
            path = simulate(self._tree, self._space, self._nodes, self._rules)
            if path is None:
                break
            self._launch(path)
        return list(self._waiting)

    def _open_menu(self, base_right: bool) -> None:
        menu = self._lessons.menu(base_right, self._ledger.num_layers, self._settings)
        self._menu = deque(map(self._space.planted, menu))
        self._menu_prior = 1 / max(1, len(menu))
        self._floor = min([self._floor, *map(self._space.floor, self._menu)])

    def _plant(self, state: State) -> None:
        """Makes a chain of the menu a child of the root, from which the tree can grow, and sends a simulation to it."""
        node = self._tree.add(state)
        self._nodes.setdefault(self._space.key(state), node)
        self._tree.link(Tree.ROOT, node, self._menu_prior)
        self._launch([Tree.ROOT, node])

    def _launch(self, path: Path) -> None:
        """Sends a simulation off: its chain is asked for, or its score is taken from memory."""
        tree = self._tree
        tree.visits[path] += 1
        self._ledger.simulations += 1
        chain = tree.states[path[-1]].chain
        score = self._ledger.scores.get(chain)
        if score is None:
            self._waiting.setdefault(chain, []).append(path)
        else:
            self._land(path, chain, score)

    def tell(self, chains: Sequence[Chain], scores: Sequence[Score], layer_executions: float = 0.0) -> None:
        """Takes in the scores of the chains of the last ask, in its order, and the layer executions that they cost."""
        check_told(self._waiting, chains, scores)
        if not self._ledger.scores:
            self._open_menu(scores[0].right)
        self._ledger.record(chains, scores, layer_executions)
        waiting, self._waiting = self._waiting, {}
        for (chain, paths), score in zip(waiting.items(), scores, strict=True):
            self._space.history.learn(self._tree.states[paths[0][-1]], score)
            for path in paths:
                self._land(path, chain, score)

    def _land(self, path: Path, chain: Chain, score: Score) -> None:
        if score.error is None:
            backup(self._tree, path, self._reward(score, len(chain), self._longest))
        else:
            backup_error(self._tree, path)

    def outcome(self) -> Outcome:
        """All that was found so far."""
        tree, index = self._tree, {chain: i for i, chain in enumerate(self._ledger.scores)}
        values = tree.best if self._settings.backup == "best" else tree.reward_sum / np.maximum(tree.visits, 1)
        rows = [
            (int(tree.parent[node]), index.get(state.chain, NOT_SCORED), int(tree.visits[node]), float(values[node]))
            for node, state in enumerate(tree.states)
        ]
        return self._ledger.outcome(rows)


def simulate(tree: Tree, space: Space, nodes: Nodes, rules: Rules) -> Path | None:
    """The path to a new node, or None if the space is exhausted. A walk that ends without one closes its last node."""
    while not tree.is_closed(Tree.ROOT):
        path = [Tree.ROOT]
        while (choice := select(tree, space, path[-1], rules)) != NOTHING:
            child, is_new = expand(tree, space, nodes, path[-1]) if choice == EXPAND else (choice, False)
            if child != Tree.NO_CHILD:
                path.append(child)
            if is_new:
                return path
        tree.close(path[-1])
    return None


def select(tree: Tree, space: Space, node: int, rules: Rules) -> int:
    """The child of a node to go to, EXPAND, or NOTHING if all below the node is exhausted.

    Untried moves have no visits and share the node's own reward as their value, so the best of them is the one with the
    highest prior: only that one is compared with the children. In uct an untried move always comes first.
    """
    moves = known_moves(tree, space, node)
    settings, count, tried = rules.settings, int(tree.num_children[node]), int(tree.next_move[node])
    untried = tried < len(moves.ids)
    if untried and settings.random_child and rules.rng.random() < settings.random_child:
        tree.moves[node] = moves.with_next(tried, int(rules.rng.integers(tried, len(moves.ids))))
        return EXPAND
    limit = widening_limit(int(tree.visits[node]), settings.widening, settings.widening_exponent)
    may_expand = untried and count < limit
    if may_expand and settings.selection == "uct":
        return EXPAND
    children = tree.children[node, :count]
    slot, best = best_allowed(child_scores(tree, node, children, rules), tree.bias[children])
    if slot == NOTHING:
        return EXPAND if untried else NOTHING
    if may_expand and untried_score(tree, space, node, moves, rules) > best:
        return EXPAND
    return int(children[slot])


def known_moves(tree: Tree, space: Space, node: int) -> Moves:
    """The moves of a node, made when they are first needed; untried ones are put in order anew when the history has grown."""
    state, moves = tree.states[node], tree.moves[node]
    made = space.moves(state) if moves is None else renewed(space, state, moves, int(tree.next_move[node]))
    tree.moves[node] = made
    return made


def child_scores(tree: Tree, node: int, children: np.ndarray, rules: Rules) -> np.ndarray:
    """The selection score of each child of a node, [A]."""
    settings, visits = rules.settings, np.maximum(tree.visits[children], 1)  # none only where an error took it back
    if settings.selection == "uct":
        total = rules.simulations() if settings.visit_total == "global" else tree.visits[node]
        value = tree.best[children] * visits if settings.backup == "best" else tree.reward_sum[children]
        scores = uct(value, visits, total, settings.c)
    else:
        value = tree.best[children] if settings.backup == "best" else tree.reward_sum[children] / visits
        scores = puct(value, tree.prior[node, : len(children)], visits, tree.visits[node], settings.c)
    if settings.length_penalty:
        scores -= length_term(tree.length[children], rules.num_layers, settings.length_penalty)
    return scores


def untried_score(tree: Tree, space: Space, node: int, moves: Moves, rules: Rules) -> float:
    """The puct score of the node's next untried move, with the node's own reward as its value."""
    settings, rank = rules.settings, tree.next_move[node]
    score = tree.own[node] + settings.c * math.sqrt(tree.visits[node]) * moves.prior[rank]
    if settings.length_penalty:
        length = len(tree.states[node].chain) + space.kinds[moves.ids[rank] % len(space.kinds)].delta
        score -= length_term(length, rules.num_layers, settings.length_penalty)
    return score


def expand(tree: Tree, space: Space, nodes: Nodes, node: int) -> tuple[int, bool]:
    """(child, is new) for the next untried move of a node.

    A state that is in the tree already is linked and not made twice. Where that could close a cycle, or leads to a closed
    node, the move is used up without a child (NO_CHILD).
    """
    moves, rank = tree.moves[node], int(tree.next_move[node])
    assert moves is not None
    tree.next_move[node] = rank + 1
    state = space.child(tree.states[node], int(moves.ids[rank]))
    key = space.key(state)
    child = nodes.get(key)
    if child is None:
        child = nodes[key] = tree.add(state)
        tree.link(node, child, moves.prior[rank])
        return child, True
    backwards = space.rank(tree.states[child]) <= space.rank(tree.states[node])
    if backwards or tree.is_closed(child) or child in tree.children[node]:
        return Tree.NO_CHILD, False
    tree.link(node, child, moves.prior[rank])
    return child, False


def backup(tree: Tree, path: Path, reward: float) -> None:
    """Enters the reward of the path's last node at every node of the path."""
    tree.own[path[-1]] = reward
    tree.reward_sum[path] += reward
    tree.best[path] = np.maximum(tree.best[path], reward)


def backup_error(tree: Tree, path: Path) -> None:
    """Takes the simulation back: a chain with an error is neither right nor wrong, so it leaves no visit and no reward.

    Its node is closed, as if the move did not exist. The root stays open: it is no move.
    """
    tree.visits[path] -= 1
    if path[-1] != Tree.ROOT:
        tree.close(path[-1])
