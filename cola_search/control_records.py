"""What a record says of the controls of its sample (design, section 7)."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Control:
    """The outcome of a control search within the same limits: simulations, or layer executions where these are set (design, 7)."""

    target: int | str | None = None
    """What a decoy was sent after: a wrong option that the base did not choose, or another item's answer (of the same form,
    where the task has one) if answers are generated; None for random chains."""
    reached: bool
    """Some chain gives the target (a decoy) or the gold answer (random chains); verified, unless nothing is."""
    length: int | None
    """Length of the shortest chain that did; None if none did."""
    evaluations: int
    layer_executions: float


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a control that is no search counted (design, section 7; controls.py says what each of them tries)."""

    tries: int
    """Verdicts that were asked for and given; 0 where there was nothing to try."""
    right: float
    """How many of them are right; an expected number, so not always a whole one, where options are drawn."""
    base_right: int | None = None
    """How many the untouched model gets right on the same items; None where it is not asked."""
    reached: float | None = None
    """pass_at_k: the probability that at least one of the tries is right, 0 or 1 where answers were generated."""
    refused: str | None = None
    """Why this control cannot be made on this sample; it then counts nowhere."""
    layer_executions: float = 0.0
    """Beside those of the search, which `Counts` has."""
