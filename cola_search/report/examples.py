"""A chain that was found, as a summary shows it."""

from dataclasses import dataclass

from cola_search.records import Record


@dataclass(frozen=True, kw_only=True)
class Example:
    """A chain that was found, with its question."""

    sample: str
    question: str
    gold: str
    base_answer: str
    chain: str
    length: int
    fixed: bool
    """The base is wrong here; otherwise it is right and the chain is shorter."""


def example_of(record: Record) -> Example:
    """The best chain of a record that has one."""
    assert record.best is not None and record.base is not None
    return Example(
        sample=record.sample,
        question=record.question,
        gold=record.answer_text(record.gold) or "",
        base_answer=record.answer_text(record.base.prediction) or "",
        chain=record.best.chain,
        length=record.best.length,
        fixed=not record.base.right,
    )
