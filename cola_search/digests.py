"""Texts as numbers of 8 bytes, for a driver that knows of a million samples and must not grow with them; and as hex digits.

Of a million texts two share a number with a chance of one in thirty million.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

RECENT = 10_000  # numbers that wait in a set to be sorted in


def digest(text: str) -> int:
    """The text's number, the same in every process."""
    data = text.encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def hex_digits(text: str, count: int) -> str:
    """The first hex digits of the text's SHA-256, of 64: what names of files and folders that are kept are made of."""
    return hashlib.sha256(text.encode()).hexdigest()[:count]


def digests(texts: Iterable[str]) -> np.ndarray:
    """The texts' numbers, uint64 `[n]`."""
    return np.fromiter(map(digest, texts), dtype=np.uint64)


class TextSet:
    """A set of texts that knows whether a text is in it, and none of the texts: 8 bytes each."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._sorted = np.empty(0, dtype=np.uint64)
        self._recent: set[int] = set()
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def __contains__(self, text: str) -> bool:
        return self._has(digest(text))

    def _has(self, number: int) -> bool:
        return number in self._recent or find(self._sorted, number) is not None

    def add(self, text: str) -> None:
        """Adds a text; nothing changes if it is there."""
        number = digest(text)
        if self._has(number):
            return
        self._recent.add(number)
        if len(self._recent) >= RECENT:
            fresh = np.fromiter(self._recent, dtype=np.uint64)
            self._sorted = np.sort(np.concatenate([self._sorted, fresh]))
            self._recent.clear()


def find(numbers: np.ndarray, number: int) -> int | None:
    """Where the number is in sorted numbers uint64 `[n]`; None if it is not."""
    place = int(np.searchsorted(numbers, np.uint64(number)))
    return place if place < len(numbers) and int(numbers[place]) == number else None
