r"""How large a LaTeX answer can get, known before any of it is computed.

A model may write `9^{9^{9}}`, `(99!)!` or `10^{-9999999}`: sympy computes such powers as soon as it reads them, and no
signal interrupts the arithmetic of one number. `(x+1)^{9999}` it multiplies out, which only a main thread can interrupt.
"""

import math
import re

MAX_DIGITS = 200_000
MAX_TERMS = 500
MAX_DEPTH = 50
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+|\S", re.DOTALL)
_NO_VALUE = {r"\left", r"\right", r"\big", r"\Big", r"\,", r"\!", r"\;", r"\:", r"\ ", "$"}
_OPENING = {"(", "[", "{", r"\{"}
_CLOSING = {")", "]", "}", r"\}"}
_BINOMIALS = {r"\binom", r"\dbinom", r"\tbinom"}
_OF_NUMBERS = {r"\frac", r"\dfrac", r"\tfrac", r"\cdot", r"\times", r"\div"}  # commands that sympy computes


def too_large(latex: str) -> bool:
    """Whether a number in it may have more than `MAX_DIGITS` decimal digits or a power of a sum more than `MAX_TERMS` terms.

    Letters have no value. Brackets that nest deeper than `MAX_DEPTH` are too many as well.
    """
    try:
        most_digits(latex)
    except OverflowError:
        return True
    return False


def most_digits(latex: str) -> float:
    """An upper bound on the decimal digits of the numbers in it, for a whole number its log10; OverflowError if too large."""
    reader, digits = _Reader(latex), 0.0
    while reader.peek():
        digits += reader.sequence()  # beyond a bracket that closes nothing the text goes on
    return digits


class _Reader:
    """Reads LaTeX from left to right; each method returns an upper bound on the digits of what it has read.

    The bound of a sum is that of the product, whose digits are the sum of its factors'. Raises OverflowError.
    """

    def __init__(self, latex: str) -> None:
        self.tokens = [token for token in _TOKEN.findall(latex) if token not in _NO_VALUE]
        self.at = 0
        self.depth = 0.0

    def peek(self) -> str:
        """The next token, "" at the end."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        """The next token, which is then read."""
        self.at += 1
        return self.tokens[self.at - 1]

    def sequence(self) -> float:
        """All up to the bracket that closes it, which is read, too."""
        digits = 0.0
        while self.peek() and self.peek() not in _CLOSING:
            digits += self.power()
            if self.peek() == r"\choose":  # {n \choose k}
                self.take()
                digits = _bounded(10**digits)
        if self.peek():
            self.take()
        return digits

    def power(self) -> float:
        """A number, group or command with the powers and factorials behind it, from left to right as math-verify reads them."""
        start = self.at
        digits = self.atom()
        while self.peek() in {"^", "!"}:
            if self.take() == "!":
                digits = _factorial(digits)
                continue
            base = self.tokens[start : self.at - 1]
            exponent = self.exponent()
            _bounded(_terms(base, exponent), MAX_TERMS)
            digits = _bounded(max(digits, 1.0) * exponent) if digits else 0.0
        return digits

    def exponent(self) -> float:
        """The largest value of an exponent, whatever its sign: 1/n has as many digits as n."""
        while self.peek() in {"+", "-"}:
            self.take()
        return _bounded(10 ** self.atom()) if self.peek() else 1.0

    def atom(self) -> float:
        """One token, or a group, or a command with its arguments."""
        token = self.take()
        if token in _OPENING:
            return self.group()
        if token in _BINOMIALS and self.peek() in _OPENING:
            self.take()
            return _bounded(10 ** self.group())
        digits = 0.0
        while token.startswith("\\") and self.peek() in {"{", "["}:
            self.take()
            digits += self.group()
        return math.log10(int(token) + 1) if token.isdecimal() else digits

    def group(self) -> float:
        """What is in a bracket that has been opened."""
        self.depth = _bounded(self.depth + 1, MAX_DEPTH)
        digits = self.sequence()
        self.depth -= 1
        return digits


def _factorial(digits: float) -> float:
    return _bounded(math.lgamma(10**digits + 1) / math.log(10))


def _terms(base: list[str], exponent: float) -> int:
    """How many terms a power has when it is multiplied out: one for numbers and products."""
    if not any(token.lstrip("\\").isalpha() and token not in _OF_NUMBERS for token in base):
        return 1
    others = sum(token in {"+", "-"} for token in base[2:])  # a sign in front adds no term
    return math.comb(round(exponent) - 1 + others, others)


def _bounded(digits: float, most: float = MAX_DIGITS) -> float:
    if digits > most:
        raise OverflowError
    return digits
