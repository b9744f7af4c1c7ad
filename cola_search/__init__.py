"""Monte Carlo Tree Search for the best chain of a pretrained LLM's layers, per input and without training."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Chain": "cola_search.chain",
    "apply_chain": "cola_search.model.surgery",
    "export_chain": "cola_search.model.export",
    "load_model": "cola_search.model.loading",
    "load_task": "cola_search.tasks.load",
    "ModelScorer": "cola_search.scoring",
    "find_voids": "cola_search.model.voids",
    "search": "cola_search.api",
}
__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used, so that the pure core does not import torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
