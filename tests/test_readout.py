"""Log-probabilities from final rows."""

import numpy as np
import torch
from families import tiny

from cola_search.model import readout
from cola_search.model.anatomy import Anatomy
from cola_search.model.readout import Readout


def test_log_probabilities_and_leads_are_those_of_a_plain_softmax(monkeypatch) -> None:
    monkeypatch.setattr(readout, "HEAD_ROWS", 4)
    anatomy = Anatomy(tiny("granite"))  # scales its logits, which only the model's own forward knows
    monkeypatch.setattr(readout, "SOFTMAX_LOGITS", 3 * anatomy.vocabulary)
    with torch.inference_mode():
        rows = torch.randn(11, anatomy.width)
        at, tokens = np.array([10, 0, 0, 7, 3]), np.array([1, 2, 98, 5, 0])
        values, leads, _ = Readout(anatomy).log_probs(rows, at, tokens)
        logits = anatomy.logits(rows)
    torch.testing.assert_close(torch.from_numpy(values), logits.log_softmax(-1)[at, tokens])
    torch.testing.assert_close(torch.from_numpy(leads), logits[at, tokens] - logits.amax(-1)[at])


def test_the_head_is_run_for_no_row_that_nothing_is_asked_of(monkeypatch) -> None:
    anatomy = Anatomy(tiny("llama"))
    real, given = anatomy.logits, []
    monkeypatch.setattr(anatomy, "logits", lambda rows: (given.append(rows), real(rows))[1])
    rows = torch.randn(9, anatomy.width)
    Readout(anatomy).log_probs(rows, np.array([7, 2, 7]), np.array([1, 2, 3]))
    assert torch.equal(torch.cat(given), rows[[2, 7]])


def test_the_greedy_token_leads_by_zero() -> None:
    anatomy = Anatomy(tiny("llama"))
    with torch.inference_mode():
        rows = torch.randn(3, anatomy.width)
        best = anatomy.logits(rows).argmax(-1)
        _, leads, greedy = Readout(anatomy).log_probs(rows, np.arange(3), best.numpy())
    assert leads.tolist() == [0, 0, 0]
    assert greedy.all()


def test_of_tokens_that_are_equally_likely_the_first_is_the_greedy_one(monkeypatch) -> None:
    model = tiny("llama")
    model.lm_head.register_forward_hook(lambda module, args, logits: logits.clamp(max=0))
    anatomy = Anatomy(model)
    monkeypatch.setattr(readout, "SOFTMAX_LOGITS", 2 * anatomy.vocabulary)
    with torch.inference_mode():
        rows = torch.randn(5, anatomy.width)
        at, tokens = np.indices((5, anatomy.vocabulary)).reshape(2, -1)
        _, leads, greedy = Readout(anatomy).log_probs(rows, at, tokens)
        wanted = anatomy.logits(rows).argmax(-1).numpy()
    assert (leads == 0).sum() > 20
    assert (greedy == (tokens == wanted[at])).all()


def test_more_rows_than_the_model_has_positions_have_the_logits_that_each_has_alone() -> None:
    anatomy = Anatomy(tiny("gpt2"))  # learned positions
    with torch.inference_mode():
        rows = torch.randn(anatomy.hf.config.max_position_embeddings + 1, anatomy.width)
        logits = anatomy.logits(rows)
        assert logits.shape == (len(rows), anatomy.vocabulary)
        torch.testing.assert_close(logits[-1:], anatomy.logits(rows[-1:]))
