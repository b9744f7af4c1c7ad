"""From samples and chains to answers: shared and batched, or one chain at a time where a model or a sample asks for it."""

import logging
from dataclasses import dataclass
from typing import Any

import torch

from cola_search.chain import Chain
from cola_search.errors import UserError
from cola_search.model.anatomy import Anatomy
from cola_search.model.answers import Answer
from cola_search.model.batched import GOLD_TOKENS, Batched, BatchedSession
from cola_search.model.compatibility import (
    OF_THE_FAMILY,
    rope_limit,
    row_limit,
    trial_failure,
    unfollowed,
    unfollowed_by_task,
)
from cola_search.model.engine_settings import EngineSettings, parse_memory
from cola_search.model.executor import Executor
from cola_search.model.free_memory import free_memory
from cola_search.model.layer_watch import LayerWatch
from cola_search.model.loading import LoadedModel
from cola_search.model.stock import Encoded, Stock
from cola_search.replica import is_fatal

log = logging.getLogger(__name__)


@dataclass(eq=False)
class StockSession:
    """One sample that has one chain at a time run over it: all of a model's, or one that asks for what the engine cannot."""

    sample: Any
    encoded: Encoded
    layer_executions: float = 0.0
    shared_layers: float = 0.0  # of these: none, for every chain runs from its first layer on


Session = BatchedSession | StockSession


class Engine:
    """Runs chains of one model for one task. `layer_executions` counts layer runs over one sample's prompt."""

    def __init__(self, model: LoadedModel, settings: EngineSettings, generates: bool, stock: Stock | None = None):
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.model, self.settings = model, settings
        self.generates = generates
        self.stock = stock or Stock(model)
        self.layer_executions = 0.0
        self._rope_limit, self._row_limit = rope_limit(model.hf), row_limit(model.hf)
        self._said: set[str] = set()
        self.batched = None if settings.mode == "stock" else self._start_batched()

    def _start_batched(self) -> Batched | None:
        try:
            anatomy = Anatomy(self.model.hf)
            executor = Executor(
                anatomy,
                memory_bytes(self.settings.memory, anatomy.device),
                self.settings.samples_in_flight,
                int(min(self.settings.max_batch_tokens, self._row_limit)),
                keep_kv=self.generates,
            )
            asked = unfollowed(self.model.hf.generation_config) if self.generates else None
            reason = asked or trial_failure(executor, self.model.hf)
        except UserError:
            raise
        except Exception as error:  # a family nobody tried may fail anywhere on the way
            if out_of_memory(error):
                raise UserError(
                    f"engine.memory={self.settings.memory} does not fit on {self.model.device} beside the model and "
                    "whatever else is there: give less, or have fewer replicas share the device."
                ) from error
            if not isinstance(error, OF_THE_FAMILY) or of_the_device(error):
                raise
            reason = f"its layers do not take packed rows ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
        if reason is None:
            return Batched(anatomy, executor, self.stock)
        kind = self.model.hf.config.model_type
        self._one_at_a_time(kind, f"model type {kind!r}", reason)
        return None

    def _one_at_a_time(self, what: str, whose: str, reason: str) -> None:
        """Says what runs one chain at a time, each reason once. Raises UserError where engine.mode=batched rules that out."""
        if self.settings.mode == "batched":
            raise UserError(f"engine.mode=batched is not possible for {whose}, take auto or stock: {reason}.")
        if reason not in self._said:
            log.warning("%s runs one chain at a time: %s.", what, reason)
        self._said.add(reason)

    def open(self, sample: Any) -> Session:
        """The sample, ready to have chains run over it."""
        encoded = self.stock.encode(sample)
        if self.batched is None:
            return StockSession(sample, encoded)
        reason = unfollowed_by_task(encoded.gen_kwargs) or self._too_long(encoded)
        if reason is None:
            return self.batched.open(sample, encoded)
        self._one_at_a_time(f"sample {sample.id!r}, and any like it,", f"sample {sample.id!r}", reason)
        return StockSession(sample, encoded)

    def _too_long(self, encoded: Encoded) -> str | None:
        """Why a sample with a sequence beyond `rope_limit`, or rows beyond `row_limit`, cannot be batched, None for any other."""
        new = max(encoded.max_new_tokens, GOLD_TOKENS) if encoded.generates else 0
        pairs = zip(encoded.contexts, encoded.continuations, strict=True)
        if max(len(context) + len(continuation) for context, continuation in pairs) + new > self._rope_limit:
            return f"its sequences go beyond {self._rope_limit} tokens, where the model changes its rotary frequencies"
        rows = sum(map(len, [*set(map(tuple, encoded.contexts)), *encoded.continuations])) + new  # or fewer
        if rows > self._row_limit:
            return f"its requests go beyond {self._row_limit} tokens, where a layer goes by the place of a row"
        return None

    def close(self, session: Session) -> None:
        """Gives the sample's memory back."""
        if self.batched is not None and isinstance(session, BatchedSession):
            self.batched.close(session)

    def watch(self, session: Session, watch: LayerWatch | None) -> bool:
        """Has `watch` told of the layers that run over the session's prompt from now on; None: nobody.

        Its first rows are the tokens of the first request's prompt. False where chains run one at a time: not possible.
        """
        if isinstance(session, BatchedSession):
            session.item.watch = watch
        return isinstance(session, BatchedSession)

    def answer(self, work: list[tuple[Session, list[Chain]]]) -> list[list[Answer]]:
        """The answers of every chain of every session, in order."""
        sessions = dict.fromkeys(session for session, _ in work)  # one may be there twice
        before = sum(session.layer_executions for session in sessions)
        answers = self._run(work) if self.settings.mix_samples else [self._run([one])[0] for one in work]
        self.layer_executions += sum(session.layer_executions for session in sessions) - before
        return answers

    def _run(self, work: list[tuple[Session, list[Chain]]]) -> list[list[Answer]]:
        batched = [(s, chains) for s, chains in work if isinstance(s, BatchedSession)]
        found = iter(self.batched.answer(batched) if self.batched is not None and batched else [])
        return [
            [self._alone(s, chain) for chain in chains] if isinstance(s, StockSession) else next(found)
            for s, chains in work
        ]

    def _alone(self, session: StockSession, chain: Chain) -> Answer:
        """One chain through stock transformers, each request from the first layer on."""
        responses, contexts = self.stock.responses(session.sample, chain), session.encoded.contexts
        written = sum(len(self.stock.lm.tok_encode(text)) for text in responses if isinstance(text, str))
        # a token that was written costs its share of a prompt, as in Batched
        session.layer_executions += len(chain) * (len(contexts) + written / len(contexts[0]))
        return Answer(responses)


def out_of_memory(error: Exception) -> bool:
    """Whether memory was short, on the device or in the machine."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


def of_the_device(error: Exception) -> bool:
    """Whether CUDA or one of its libraries failed, which says nothing of the model."""
    return is_fatal(error) or any(name in str(error) for name in ("CUBLAS_STATUS", "cuDNN error", "CUDNN_STATUS"))


def memory_bytes(text: str, device: torch.device, sharing: int = 1) -> int:
    """Bytes that `engine.memory` means here: as written, or a share of what is free where so many share the device."""
    wanted = parse_memory(text)
    return wanted if isinstance(wanted, int) else int(wanted * free_memory(device) / sharing)
