"""How a replica runs chains: the `engine` group of the configuration. No torch here, so that it is cheap to validate."""

import math
from dataclasses import dataclass

from cola_search.errors import UserError

MODES = ("auto", "batched", "stock")


@dataclass(frozen=True)
class EngineSettings:
    """Settings of the execution engine.

    mode: `batched` shares and batches, `stock` runs one chain at a time through transformers, `auto` is `batched` where
        the family allows it (checked at load) and else `stock`, which is said once.
    memory: bytes for kept hidden states and keys/values, as an int, as text such as `2GB`, or as a share of what is free (`0.3`).
        Where text is generated, half of it is for the generations under way; a single one that needs more takes more.
    samples_in_flight: samples that one replica searches at the same time; useful with mix_samples only.
    mix_samples: let chains of different samples share a batch. Faster; where products of matrices round differently in another
        batch a near tie can then depend on what else is in flight, and the record tells. In bfloat16 on a CPU
        those of a dense model do not.
    max_batch_tokens: upper bound of rows in one layer call.
    threads: CPU threads of the replica; 0 leaves torch's own choice.
    """

    mode: str = "auto"
    memory: str = "0.3"
    samples_in_flight: int = 1
    mix_samples: bool = False
    max_batch_tokens: int = 4096
    threads: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"engine.mode={self.mode!r} is unknown: use one of {', '.join(MODES)}.")
        if self.samples_in_flight < 1:
            raise UserError(f"engine.samples_in_flight={self.samples_in_flight} must be at least 1.")
        if self.max_batch_tokens < 1:
            raise UserError(f"engine.max_batch_tokens={self.max_batch_tokens} must be at least 1.")
        if self.threads < 0:
            raise UserError(f"engine.threads={self.threads} must be 0 (torch's own choice) or more.")
        parse_memory(self.memory)


def parse_memory(text: str | int | float) -> int | float:
    """Bytes (int) or a share of the free memory (float in (0, 1)) for `2GB`, `500MB`, `1073741824` or `0.3`."""
    units = {"kb": 10**3, "mb": 10**6, "gb": 10**9}
    plain = str(text).strip().lower()
    try:
        number = float(plain[:-2]) * units[plain[-2:]] if plain[-2:] in units else float(plain)
    except ValueError:
        number = -1.0
    if 0 < number < 1:
        return number
    if 1 <= number < math.inf:
        return int(number)
    raise UserError(
        f"engine.memory={text!r} is not understood: write bytes, `2GB`, or a share of the free memory such as 0.3."
    )
