"""A chain's answers to the requests of a sample, and when a generated one is complete."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from cola_search.model.stock import Encoded


@dataclass(frozen=True)
class Answer:
    """What a chain answers.

    responses: as the task's verdict takes them: (log-probability, greedy) per option, or the generated text.
    gold_margin: generated tasks and lone continuations: mean lead of the gold answer's tokens over the best other, 0 if
        greedy decoding gives it.
    lead: generated tasks: the smallest lead of a chosen token over the next best, in logits; a lone continuation that is
        not the greedy one: how far its worst token is behind the best, 0 if as likely as the best all along.
    """

    responses: list
    gold_margin: float = math.nan
    lead: float = math.inf


class StopWatch:
    """Says when the text of a generation is complete, or can no longer change the verdict.

    Stop strings are looked for where lm-eval does (`MultiTokenEOSCriteria`): in the text of the last tokens, two more than the
    string has. In the whole text they may not be there: a byte before them that is no character takes them along.
    """

    def __init__(self, sample: Any, encoded: Encoded, tokenizer: Any, hf: Any):
        self.stops, self.bound, self.tokenizer = encoded.stops, encoded.max_new_tokens, tokenizer
        ends = hf.generation_config.eos_token_id
        self.ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
        self.settled = getattr(sample, "settled", None)
        self._stops_within: dict[int, list[str]] = defaultdict(list)  # the last so many tokens
        for stop in self.stops:
            self._stops_within[len(tokenizer.encode(stop, add_special_tokens=False)) + 2].append(stop)

    def done(self, tokens: list[int]) -> bool:
        """Whether the generation may stop after these tokens."""
        if tokens[-1] in self.ends or len(tokens) >= self.bound:
            return True
        for size, stops in self._stops_within.items():
            text = self.tokenizer.decode(tokens[-size:])  # a stop string may be a special token
            if any(stop in text for stop in stops):
                return True
        return self.settled is not None and self.settled(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def text(self, tokens: list[int]) -> str:
        """The generated text as lm-eval hands it to a task: without special tokens, cut at the first stop string."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        for stop in self.stops:
            text = text.split(stop)[0]
        return text
