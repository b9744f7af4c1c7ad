"""Selectors that learn from calibration with scikit-learn: which chain to run after the base, or which option is right."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cola_search.chain import Chain
from cola_search.objective.menu import menu_cost
from cola_search.objective.option_table import OptionTable
from cola_search.objective.selectors import Choice, Rule, Selector, option_features, whole_menu

HIDDEN_COMPONENTS = 16


def routed(base: Chain) -> Selector:
    """Runs the menu's first chain, and then the one that a logistic regression per chain finds most likely to be right.

    Its features are what the first chain says (pilot_features), and the base's hidden state where the base is that chain.
    """

    def fit(calibration: OptionTable) -> Rule:
        pca = _fit_pca(calibration, base)
        features = pilot_features(calibration, pca)
        models = [_regression(features, right) for right in calibration.right.T]

        def rule(table: OptionTable) -> Choice:
            at = pilot_features(table, pca)
            rates = [model.predict_proba(at)[:, 1] if model else np.full(len(at), rate) for model, rate in models]
            return _run_one(table, np.stack(rates, axis=1).argmax(axis=1))

        return rule

    return fit


def boosted() -> Selector:
    """Runs the whole menu and answers the option that gradient boosting on option_features finds most likely right."""

    def fit(calibration: OptionTable) -> Rule:
        valid, model = calibration.valid, _boosting()
        golds = calibration.golds[valid]
        if golds.all() or not golds.any():
            return lambda table: Choice(table.log_probs.mean(axis=1).argmax(axis=1), whole_menu(table))
        model.fit(_boosting_features(calibration)[valid], golds)

        def rule(table: OptionTable) -> Choice:
            chance = np.full(table.golds.shape, -np.inf)
            chance[table.valid] = model.predict_proba(_boosting_features(table)[table.valid])[:, 1]
            return Choice(chance.argmax(axis=1), whole_menu(table))

        return rule

    return fit


def pilot_features(table: OptionTable, pca: PCA | None = None) -> np.ndarray:
    """[N, 4 + d]: of the first chain its two highest log-probabilities, their lead and its entropy; then PCA of hidden."""
    log_probs = np.maximum(table.log_probs[:, 0], -50.0)
    top = np.sort(log_probs, axis=1)[:, ::-1]
    second = top[:, 1] if top.shape[1] > 1 else np.zeros(len(top))
    entropy = -(np.exp(log_probs) * log_probs).sum(axis=1)
    said = np.stack([top[:, 0], second, top[:, 0] - second, entropy], axis=1)
    return said if pca is None else np.concatenate([said, pca.transform(table.hidden)], axis=1)


def _fit_pca(table: OptionTable, base: Chain) -> PCA | None:
    if table.hidden is None or table.chains[0] != base:
        return None
    components = min(HIDDEN_COMPONENTS, *table.hidden.shape)
    return PCA(components, svd_solver="full").fit(table.hidden)


def _regression(features: np.ndarray, right: np.ndarray) -> tuple[LogisticRegression | None, float]:
    """A model of P(right), or None beside the rate where it is always or never right."""
    if right.all() or not right.any():
        return None, float(right.mean())
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)).fit(features, right), 0.0


def _run_one(table: OptionTable, chain: np.ndarray) -> Choice:
    """The choice of one chain per item, int [N], which runs after the table's first one."""
    options = table.log_probs.argmax(axis=2)
    cost = np.array([menu_cost([table.chains[0], other], table.head_cost) for other in table.chains])
    return Choice(options[np.arange(len(table)), chain], cost[chain])


def _boosting() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.08, max_leaf_nodes=8, min_samples_leaf=30, l2_regularization=1.0, random_state=0
    )


def _boosting_features(table: OptionTable) -> np.ndarray:
    """[N, O, 4K + 1]: option_features, and each score's distance to the best and rank among the item's options."""
    log_probs = np.maximum(table.log_probs, -50.0).transpose(0, 2, 1)
    ranks = (log_probs[:, None] > log_probs[:, :, None]).sum(axis=2)
    return np.concatenate([option_features(table), log_probs - log_probs.max(axis=1, keepdims=True), ranks], axis=2)
