"""Answers to a sample's requests for many chains at once, on the executor."""

import itertools
import logging
import math
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cola_search.chain import Chain
from cola_search.model.anatomy import LEAST_ROWS, Anatomy
from cola_search.model.answers import Answer, StopWatch
from cola_search.model.batches import Item
from cola_search.model.decode import Decoder, generate
from cola_search.model.executor import Executor
from cola_search.model.free_memory import fits
from cola_search.model.packing import scored_sequences
from cola_search.model.precision import dtype_name
from cola_search.model.readout import Readout
from cola_search.model.stock import Encoded, Stock

log = logging.getLogger(__name__)

GOLD_TOKENS = 32  # of the gold answer that shape the reward of a generated task


@dataclass(eq=False)
class BatchedSession:
    """One sample on the executor.

    at, tokens: per scored token `[T]` the index into the item's reads after which it comes, and its id.
    starts: per request `[requests]` where its tokens begin in those.
    layer_executions: what its chains cost, each layer over this sample's prompt: a state that was dropped for want of memory
        is computed again at no charge, so that the cost is the same on every machine.
    shared_layers: of these, what was charged for prefixes; the rest is for tokens that were written.
    """

    sample: Any
    encoded: Encoded
    item: Item
    at: np.ndarray
    tokens: np.ndarray
    starts: np.ndarray
    layer_executions: float = 0.0
    shared_layers: float = 0.0


Work = list[tuple[BatchedSession, list[Chain]]]
Generation = tuple[BatchedSession, tuple[int, ...], Tensor]  # with the final states [R, d] of its prompt's read rows
States = list[list[Tensor]]  # per session and chain the final states [R, d] of the rows that are read


class Batched:
    """Runs chains of one model over the samples of one task, shared and batched."""

    def __init__(self, anatomy: Anatomy, executor: Executor, stock: Stock):
        self.executor, self.stock = executor, stock
        self.readout = Readout(anatomy)
        self.most_together = sys.maxsize  # chains that generate at once: halved whenever memory does not suffice
        self._said_overflow = False

    def open(self, sample: Any, encoded: Encoded | None = None) -> BatchedSession:
        """The sample, tokenised unless it is already, and with its embeddings computed."""
        encoded = encoded or self.stock.encode(sample)
        scored = [self._gold_tokens(sample, encoded)] if encoded.generates else encoded.continuations
        sequences, reads = scored_sequences(encoded.contexts, scored)
        item = self.executor.open(sequences, reads, LEAST_ROWS)
        where = {row: i for i, row in enumerate(item.reads.tolist())}
        at = [where[item.packed.rows[i][p]] for i, positions in enumerate(reads) for p in positions[: len(scored[i])]]
        tokens = np.array([token for continuation in scored for token in continuation], dtype=np.int64)
        starts = np.cumsum([0, *(len(continuation) for continuation in scored)])[:-1]
        return BatchedSession(sample, encoded, item, np.array(at, dtype=np.int64), tokens, starts)

    def _gold_tokens(self, sample: Any, encoded: Encoded) -> list[int]:
        """Tokens of the gold answer, as many as fit behind the prompt; the last one is not read."""
        text = getattr(sample, "target_text", None)
        room = self.stock.lm.max_length - len(encoded.contexts[0]) + 1
        return self.stock.lm.tok_encode(text, add_special_tokens=False)[: min(GOLD_TOKENS, room)] if text else []

    def close(self, session: BatchedSession) -> None:
        """Gives the sample's memory back."""
        self.executor.close(session.item)

    def answer(self, work: Work) -> list[list[Answer]]:
        """The answers of every chain of every session, in order; the sessions share batches."""
        answers: list[list[Answer]] = [[] for _ in work]
        jobs = [(session.item, [tuple(chain) for chain in chains]) for session, chains in work]
        for (session, _), (item, chains) in zip(work, jobs, strict=True):
            charged = item.prefixes.charge(chains, watched=item.watch is not None)
            session.layer_executions += charged
            session.shared_layers += charged
        new_tokens = max(session.encoded.max_new_tokens for session, _ in work)
        for part in self.executor.parts(jobs, new_tokens):
            here = [(work[slot][0], [Chain(chain) for chain in chains]) for slot, chains in part.items()]
            final = self.executor.run_part([(session.item, list(chains)) for session, chains in here])
            found = self._generated(here, final) if new_tokens else self._scored(here, final)
            for slot, some in zip(part, found, strict=True):
                answers[slot].extend(some)
        return answers

    def _scored(self, work: Work, final: States) -> list[list[Answer]]:
        answers = []
        for (session, chains), (values, leads, greedy) in zip(work, self._log_probs(work, final), strict=True):
            sums = np.add.reduceat(values.astype(np.float64), session.starts, axis=1)
            exact = np.logical_and.reduceat(greedy, session.starts, axis=1)
            responses = [list(zip(s, g, strict=True)) for s, g in zip(sums.tolist(), exact.tolist(), strict=True)]
            if len(session.starts) > 1:
                answers.append([Answer(some) for some in responses])
            else:
                answers.append([_lone_answer(*one) for one in zip(responses, leads, strict=True)])
            for c in np.flatnonzero(~np.isfinite(values).all(axis=1)):
                answers[-1][c] = Answer(self._responses_alone(session, chains[c]))
        return answers

    def _responses_alone(self, session: BatchedSession, chain: Chain) -> list:
        """The answers of stock transformers, for a chain that got a score on the engine which is not a number.

        An overflow in one row spoils all rows of its sample there, also those that must not see it: attention gives it the weight
        zero, and zero times infinity is not a number. The chain is charged what the engine ran.
        """
        if not self._said_overflow:
            log.warning(
                "numbers overflow %s in chain %s on sample %r: it is answered one chain at a time, and so is any like it.",
                dtype_name(self.executor.anatomy.dtype),
                chain,
                session.sample.id,
            )
        self._said_overflow = True
        return self.stock.responses(session.sample, chain)

    def _log_probs(self, work: Work, final: States) -> list[tuple[np.ndarray, ...]]:
        """Per session what the readout says of the scored tokens: `[chains, T]` each."""
        rows = [state for states in final for state in states]
        offsets = np.cumsum([0, *map(len, rows)])[:-1]
        owners = [session for session, chains in work for _ in chains]
        at = np.concatenate([session.at + offset for session, offset in zip(owners, offsets, strict=True)])
        tokens = np.concatenate([session.tokens for session in owners])
        found = self.readout.log_probs(torch.cat(rows), at, tokens)
        out, start = [], 0
        for session, chains in work:
            shape = (len(chains), len(session.tokens))
            stop = start + shape[0] * shape[1]
            out.append(tuple(values[start:stop].reshape(shape) for values in found))
            start = stop
        return out

    def _generated(self, work: Work, final: States) -> list[list[Answer]]:
        owners = [session for session, chains in work for _ in chains]
        chains = [tuple(chain) for _, some in work for chain in some]
        states = [state for some in final for state in some]
        try:
            found = self._decoded(list(zip(owners, chains, states, strict=True)))
        finally:
            for session, _ in work:
                session.item.prefixes.release()
        margins = self._gold_margins(work, final).tolist()
        answers = [Answer([text], margin, lead) for (text, lead), margin in zip(found, margins, strict=True)]
        for c, answer in enumerate(answers):
            if math.isnan(answer.lead):  # which a row of the gold answer behind the prompt may have done, too
                answers[c] = Answer(self._responses_alone(owners[c], Chain(chains[c])), margins[c])
        split = np.cumsum([0, *(len(some) for _, some in work)]).tolist()
        return [answers[a:b] for a, b in itertools.pairwise(split)]

    def _decoded(self, generations: list[Generation]) -> list[tuple[str, float]]:
        """Text and lead of each. Where memory does not suffice for all at once, half as many run at a time, from then on too."""
        found: list[tuple[str, float]] = []
        while len(found) < len(generations):
            some = generations[len(found) : len(found) + self.most_together]
            if not fits(partial(self._decode, some, found), alone=len(some) == 1):
                self.most_together = len(some) // 2
                log.warning("out of memory: at most %d chains generate together from now on.", self.most_together)
        return found

    def _decode(self, generations: list[Generation], found: list[tuple[str, float]]) -> None:
        """Adds text and lead of each to `found`; charges their sessions for the tokens that were run."""
        owners, chains, states = zip(*generations, strict=True)
        prompts = [len(session.encoded.contexts[0]) for session in owners]
        ends = [state[s.item.reads.tolist().index(n - 1)] for s, n, state in zip(owners, prompts, states, strict=True)]
        bounds = np.array([session.encoded.max_new_tokens for session in owners])
        decoder = Decoder(self.executor, [session.item for session in owners], list(chains), prompts, bounds)
        watch = [
            StopWatch(session.sample, session.encoded, self.stock.lm.tokenizer, self.executor.anatomy.hf)
            for session in owners
        ]
        tokens, leads = generate(decoder, torch.stack(ends), lambda c, generated: watch[c].done(generated), max(bounds))
        for c, session in enumerate(owners):
            session.layer_executions += decoder.tokens_run[c] * len(chains[c]) / prompts[c]
        found += [(watch[c].text(t), float(leads[c])) for c, t in enumerate(tokens)]

    def _gold_margins(self, work: Work, final: States) -> np.ndarray:
        """Per chain the mean lead of the gold answer's tokens, at most 0; nan where the task has no short answer."""
        margins = [np.full(len(chains), np.nan) for _, chains in work]
        known = [i for i, (session, _) in enumerate(work) if len(session.tokens)]
        if known:  # of all sessions at once: reading the head's weights is what the few rows of one would cost
            found = self._log_probs([work[i] for i in known], [final[i] for i in known])
            for i, (_, leads, _) in zip(known, found, strict=True):
                margins[i] = leads.mean(axis=1)
        return np.concatenate(margins)


def _lone_answer(responses: list, leads: np.ndarray) -> Answer:
    """The answer to a single continuation, whose tokens have these leads `[T]`: right if the greedy one at every token."""
    ((_, greedy),) = responses
    return Answer(responses, float(leads.mean()), math.inf if greedy else abs(float(leads.min())))
