"""What the settings leave open, such as `auto`, is settled once: by the first replica, for all replicas and every resume.

The facts are keyed by the settings that they are about, and kept in settled.json. `engine.memory` is handed to every replica, and
of a model from the hub the commit; of the others every replica must come to the same by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cola_search.errors import UserError
from cola_search.replica import Facts
from cola_search.run_folder import read_settled, settle
from cola_search.settings import Settings


@dataclass
class Founding:
    """Makes replicas for the run in a folder, and settles what holds for all of them. Pickled anew for every replica."""

    folder: Path
    settings: Settings
    make: Callable[[Settings], Any]
    facts: Facts = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = with_absolute_paths(self.settings)
        self.facts = read_settled(self.folder)

    def __call__(self) -> Any:
        """What `make` makes, on the machine of the replica."""
        model = self.settings.model
        if self.facts.get("model.source") == "hub":
            model = replace(model, revision=self.facts["model.revision"])
        return self.make(replace(self.settings, model=model))

    def settle(self, facts: Facts) -> Facts:
        """What holds for the run: the facts of the first replica. Raises UserError if they cannot be kept."""
        self.facts = self.facts or settle(self.folder, facts)
        return self.facts


def with_absolute_paths(settings: Settings) -> Settings:
    """The settings for a process in another working folder: paths of files are those that they mean here."""
    model, prior = settings.model, settings.prior
    return replace(
        settings,
        model=replace(model, path=_absolute(model.path)),
        prior=replace(prior, records=_absolute(prior.records)),
    )


def _absolute(path: str | None) -> str | None:
    return path and str(Path(path).expanduser().absolute())


def refuse_others(here: Facts, run: Facts) -> None:
    """Raises UserError, naming the key to set, where a replica came out other than those that made the run's records."""
    for key, mine in here.items():
        if key == "engine.memory" or mine == run.get(key):
            continue
        if key == "prior.records":
            raise UserError(
                f"{key}: the file is not what it was when this run began: restore it, or choose another run_dir"
            )
        if key == "model.revision" and here["model.source"] != "hub":
            raise UserError(
                "model: the weights are not those that this run began with: restore them, or choose another run_dir"
            )
        raise UserError(
            f"{key} is {mine} on this replica's machine and {run.get(key)} in this run: "
            f"set {key}={run.get(key)}, or choose another run_dir"
        )
