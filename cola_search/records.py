"""What is known of each searched sample: one JSON object a line, read as a stream; record_writer.py writes it."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from cola_search import __version__
from cola_search.control_records import Control, Probe
from cola_search.errors import UserError

SCHEMA = 3
"""Version of the record layout; raise it with every change and teach `Record.from_dict` to read the older ones.

1: as 2 without `probes` and `prior`.
2: as 3 without `verified`, which is read off `base`, `front` and `best`: no other verdicts of stock transformers were kept.
"""


class Evaluated(NamedTuple):
    """One distinct chain that the search tried, as the search saw it (batched, not verified)."""

    chain: str
    """Text form, as in `0-11 (12-14)x2 15-27`."""
    correct: int | None
    """1 right, 0 wrong, None an error (which is neither)."""
    margin: float | None
    """Log-probability of the target minus the best other; None where there is none."""
    layer_executions: float
    """What this sample had cost, in layer executions, when this verdict was known: it never falls along the list."""


class TreeRow(NamedTuple):
    """One node of the search tree; row i is node i in order of creation, so that the search can be replayed."""

    parent: int
    """Row of the parent; -1 at the root."""
    chain: int
    """Index into `Record.chains` of the chain that this node stands for; -1 if it was never scored."""
    visits: int
    value: float | None


@dataclass(frozen=True, kw_only=True)
class BaseVerdict:
    """What the untouched model answers."""

    correct: bool | None
    """The search's verdict on the identity chain; None if scoring it failed."""
    prediction: int | str | None
    margin: float | None
    verified: bool | None
    """The verdict of stock transformers, one chain and one sample alone; None if it was not asked."""

    @property
    def right(self) -> bool | None:
        """The verdict that headline rates count: the verified one where there is one."""
        return self.correct if self.verified is None else self.verified


@dataclass(frozen=True, kw_only=True)
class FoundChain:
    """A chain worth keeping: on the Pareto front of (correct, length), or the best one."""

    chain: str
    length: int
    correct: bool
    """The search's verdict, which `verified` overrules where it is not None."""
    margin: float | None
    verified: bool | None
    """The verdict of stock transformers on this chain alone; None if it was not asked."""
    prediction: int | str | None = None
    """What it answers (the chosen option, or the extracted text), as stock transformers ran it if they did."""


@dataclass(frozen=True, kw_only=True)
class VoidPrior:
    """Which layers the search was told to be likely skips, by the voids of this sample (LAC, arxiv.org/abs/2505.14467)."""

    phase: str
    """pp: over the tokens of the prompt; rg: over those that the model generates."""
    alpha: float
    voids: list[float]
    """Per layer the share of these tokens for which it is void."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What had been spent in this sample when an event happened."""

    evaluations: int
    layer_executions: float


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one sample cost; `layer_executions` is the unit of cost, one layer run over one prompt."""

    simulations: int
    evaluations: int
    layer_executions: float
    first_fix: Cost | None = None
    """At the first chain that the search saw right, where the base is wrong (`BaseVerdict.right`)."""
    first_shorter: Cost | None = None
    """At the first right chain shorter than the model."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How the search's verdicts stood up to stock transformers, one chain and one sample alone."""

    checked: int = 0
    agreed: int = 0
    near_ties: int = 0
    """Disagreements or not: margins so small that rounding may flip them."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that is known of one searched sample. Two runs with the same seed differ in `seconds` only."""

    schema: int = SCHEMA
    version: str = __version__
    """Version of cola_search that wrote the line."""
    sample: str
    """Id of the sample, unique in the file."""
    task: str
    model: str
    num_layers: int
    question: str
    choices: list[str] | None = None
    gold: int | str | None = None
    base: BaseVerdict | None = None
    """None where the sample failed before the base was scored."""
    chains: list[Evaluated] = field(default_factory=list)
    tree: list[TreeRow] = field(default_factory=list)
    """Empty for searches without a tree."""
    front: list[FoundChain] = field(default_factory=list)
    best: FoundChain | None = None
    """The shortest verified right chain (the identity counts); None if no chain is right."""
    verified: dict[str, bool] = field(default_factory=dict)
    """By chain, every verdict of stock transformers, those included that refute the search."""
    controls: dict[str, Control] = field(default_factory=dict)
    """`decoy` and `random`, where they were run."""
    probes: dict[str, Probe] = field(default_factory=dict)
    """`pass_at_k`, `shuffle`, `transfer` and `undo_one_edit`, where they were run; none of them in a record of schema 1."""
    prior: VoidPrior | None = None
    """None where the prior did not come from voids."""
    counts: Counts
    verification: Verification = field(default_factory=Verification)
    seconds: float
    """This sample's share of the time of its replica."""
    seed: int
    mix_samples: bool = False
    """Whether other samples shared its batches, so that rounding may depend on them."""
    error: str | None = None
    """Why the sample failed; such a record is neither right nor wrong and enters no rate."""

    @property
    def base_right(self) -> bool | None:
        """Whether the untouched model is right, verified where it was verified; None for a sample that failed."""
        return None if self.error is not None or self.base is None else self.base.right

    @property
    def outcome(self) -> str:
        """error, fixed, unsolved, shortened or same."""
        if self.base_right is None:
            return "error"
        if not self.base_right:
            return "unsolved" if self.best is None else "fixed"
        return "shortened" if self.best is not None and self.best.length < self.num_layers else "same"

    def answer_text(self, answer: int | str | None) -> str | None:
        """The option that an index names, or the text itself."""
        if self.choices is not None and isinstance(answer, int) and 0 <= answer < len(self.choices):
            return self.choices[answer]
        return None if answer is None else str(answer)

    def is_right(self, row: Evaluated) -> bool:
        """Whether a chain of this record is right: by stock transformers where they judged it, else by the search."""
        return self.verified.get(row.chain, row.correct == 1)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can say of it; NaN and infinite numbers become None. `from_dict` takes it back."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    def to_line(self) -> str:
        """One line of JSON without its newline."""
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The record that a decoded line holds. Raises UserError if a newer cola_search wrote it."""
        if (schema := data["schema"]) > SCHEMA:
            raise UserError(
                f"the record was written by cola_search {data.get('version', '?')} (schema {schema}) and this one reads "
                f"schema {SCHEMA} at most: upgrade cola_search"
            )
        values = {name: _PARSERS[name](value) if name in _PARSERS else value for name, value in data.items()}
        if "verified" not in values:
            values["verified"] = _verified_of_schema_2(values)
        return cls(**values)


def _verified_of_schema_2(values: Mapping[str, Any]) -> dict[str, bool]:
    verdicts = {found.chain: found.verified for found in (*values.get("front", ()), values.get("best")) if found}
    if (base := values.get("base")) and (chains := values.get("chains")):
        verdicts[chains[0].chain] = base.verified
    return {chain: verdict for chain, verdict in verdicts.items() if verdict is not None}


def _maybe(parse: type) -> Callable[[Mapping[str, Any] | None], Any]:
    return lambda value: None if value is None else parse(**value)


def _counts(value: Mapping[str, Any]) -> Counts:
    cost = _maybe(Cost)
    return Counts(**{**value, "first_fix": cost(value["first_fix"]), "first_shorter": cost(value["first_shorter"])})


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "base": _maybe(BaseVerdict),
    "chains": lambda rows: [Evaluated(*row) for row in rows],
    "tree": lambda rows: [TreeRow(*row) for row in rows],
    "front": lambda rows: [FoundChain(**row) for row in rows],
    "best": _maybe(FoundChain),
    "controls": lambda rows: {name: Control(**row) for name, row in rows.items()},
    "probes": lambda rows: {name: Probe(**row) for name, row in rows.items()},
    "prior": _maybe(VoidPrior),
    "counts": _counts,
    "verification": lambda value: Verification(**value),
}


def _plain(value: Any) -> Any:
    """The value as JSON can say it: dataclasses as objects, tuples as lists, NumPy scalars as numbers, NaN as null."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _plain(value.item())  # a NumPy scalar; anything else has no place in a record and raises


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file, one after the other in flat memory; a torn last line is left out.

    Raises UserError, naming the line, for a damaged line before the last one and for a record of a newer cola_search.
    """
    for _, data in record_lines(path):
        yield read_record(path, data)


def read_record(path: Path, data: Mapping[str, Any]) -> Record:
    """The record that a line of the file holds. Raises UserError, naming the file, if it is none that we can read."""
    try:
        return Record.from_dict(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (TypeError, KeyError, ValueError) as error:
        reason = f"sample {data.get('sample')!r} is not a record of schema {SCHEMA} ({error}): remove its line"
        raise UserError(f"{path}: {reason}") from None


def record_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(end in bytes, object) of every whole line. Only the very last line may be torn, and is then left out."""
    torn: str | None = None
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if torn is not None:
                raise UserError(
                    f"{path}: {torn} is damaged and is not the last one: remove it by hand, or name a records.jsonl"
                )
            end += len(line)
            data = _decode(line)
            if data is None:
                torn = f"line {number}"
            else:
                yield end, data


def _decode(line: bytes) -> dict[str, Any] | None:
    """The object that a line holds, None if the line is torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) and "sample" in data and "schema" in data else None
