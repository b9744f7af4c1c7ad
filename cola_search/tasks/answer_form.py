r"""The form of an answer: what a model would have to write, apart from the value.

A decoy of another form than the gold answer (an algebraic expression for an integer) is not reached for its form alone,
and says nothing about luck.
"""

import re

_SPACE_OR_SIGN = re.compile(r"\\[!,;: ]|\s|\\?[$%]")
_UNIT = re.compile(r"\^\{?\\circ\}?|(?<=\d)(?:_\{?\d+\}?|\\(?:text|mbox|mathrm)\{[^{}]*\}(?:\^\{?\d\}?)?)")  # or base
_SEPARATOR = re.compile(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))")
_INTEGER = re.compile(r"[-+]?\d+")
_NUMBER = re.compile(
    r"[-+]?(?:\d*\.\d+|\d+/\d+|\d*\\[dt]?frac(?:\d\d|\{[-+]?\d+\}\d|\d\{\d+\}|\{[-+]?\d+\}\{[-+]?\d+\}))"
)


def unlikeness(wanted: str, other: str) -> tuple[int, ...]:
    """How far the form of an answer is from the wanted one: the smaller, the more alike, whatever their values.

    First comes the kind: an integer, another number (a decimal or a fraction), or anything else. Numbers of a kind then
    differ by how many digits they have, then by their sign; anything else by its length in characters. Those of
    different kinds are all equally unlike.
    """
    wanted, other = _bare(wanted), _bare(other)
    if _kind(wanted) != _kind(other):
        return (1,)
    if _kind(wanted) == "other":
        return (0, abs(len(wanted) - len(other)))
    return (0, abs(_digits(wanted) - _digits(other)), int(_negative(wanted) != _negative(other)))


def _bare(answer: str) -> str:
    """An answer without spaces, signs of dollars and percents, units and thousands separators."""
    return _SEPARATOR.sub("", _UNIT.sub("", _SPACE_OR_SIGN.sub("", answer.replace("\u2212", "-")))).rstrip(".")


def _kind(bare: str) -> str:
    if _INTEGER.fullmatch(bare):
        return "integer"
    return "number" if _NUMBER.fullmatch(bare) else "other"


def _digits(number: str) -> int:
    return sum(character.isdigit() for character in number)


def _negative(number: str) -> bool:
    return number.count("-") % 2 == 1
