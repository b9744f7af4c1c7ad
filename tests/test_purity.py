import subprocess
import sys

import pytest

PURE = (
    "chain",
    "moves",
    "space",
    "tree",
    "selection",
    "priors",
    "history",
    "lessons",
    "tree_search",
    "baselines",
    "search_settings",
    "outcome",
    "rewards",
    "stopping",
)
BLOCKED = ("torch", "ray", "wandb", "transformers", "hydra", "omegaconf", "lm_eval", "datasets")
PROGRAM = """
import importlib, sys
for name in {blocked!r}:
    sys.modules[name] = None
before = set(sys.modules)
importlib.import_module("cola_search.{module}")
roots = {{name.split(".")[0] for name in set(sys.modules) - before if getattr(sys.modules[name], "__file__", None)}}
print(*sorted(roots - set(sys.stdlib_module_names)))
"""


@pytest.mark.parametrize("module", PURE)
def test_the_search_core_needs_nothing_but_numpy_and_the_standard_library(module: str) -> None:
    program = PROGRAM.format(blocked=BLOCKED, module=module)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"cola_search", "numpy"}
