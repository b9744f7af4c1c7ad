"""The one writer of a record file: a line a sample, durable, repaired when a crash tore its last line."""

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from cola_search.digests import TextSet
from cola_search.errors import UserError
from cola_search.records import SCHEMA, Record, read_record, read_records, record_lines


class RecordWriter:
    """The one writer of a record file: repairs its torn last line, and appends durably. Hold the folder (`locked`) meanwhile.

    `finished` holds the ids already in the file, errors included: resuming a run gives what an undisturbed run gives.
    Use it in a `with` block. Raises UserError if the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open(path)
        try:
            self.finished, self._end = _scan(path)
            os.ftruncate(self._file, self._end)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, *records: Record) -> None:
        """Adds a line for each record and waits, once, until they are on the disk.

        Raises UserError on a full disk, with all in the file that fits, and ValueError for a sample that is there.
        """
        try:
            self._append(records)
        except UserError:
            if len(records) == 1:
                raise
            for record in records:
                self._append([record])

    def _append(self, records: Sequence[Record]) -> None:
        names = [record.sample for record in records]
        if doubled := [name for name, count in Counter(names).items() if count > 1 or name in self.finished]:
            raise ValueError(f"sample {doubled[0]!r} is in {self.path} already")
        # half a character is written as JSON escapes it
        lines = b"".join(record.to_line().encode(errors="backslashreplace") + b"\n" for record in records)
        try:
            _write(self._file, lines)
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise _write_error(self.path, len(self.finished), error) from error
        self._end += len(lines)
        for name in names:
            self.finished.add(name)

    def drop(self, unwanted: Callable[[Record], bool]) -> int:
        """Takes the unwanted records out of the file, and says how many they were; their samples are not finished any more.

        The file is exchanged in one step, so that a crash leaves the old one or the new one. Raises UserError on a full disk,
        with the file as it was before.
        """
        gone = {record.sample for record in read_records(self.path) if unwanted(record)}
        if not gone:
            return 0
        part = self.path.with_name(self.path.name + ".part")
        fresh = _open(part)
        with ExitStack() as on_failure:
            on_failure.callback(os.close, fresh)
            try:
                _copy_without(self.path, fresh, gone)
                part.replace(self.path)
                sync(self.path.parent)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise _write_error(self.path, len(self.finished), error) from error
            on_failure.pop_all()
        os.close(self._file)
        self._file, self._end = fresh, os.fstat(fresh).st_size
        self.finished, _ = _scan(self.path)
        return len(gone)

    def close(self) -> None:
        """Gives the file back."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise UserError(f"run_dir: cannot write {path} ({error.strerror}): choose another run_dir") from error


def _write(file: int, data: bytes) -> None:
    """Writes all of the data: the kernel may take it in pieces."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _copy_without(path: Path, file: int, samples: set[str]) -> None:
    """Fills the file with the lines at `path` that are of other samples, and waits until they are on the disk."""
    os.ftruncate(file, 0)
    with path.open("rb") as lines:
        for line in lines:
            if json.loads(line)["sample"] not in samples:
                _write(file, line)
    os.fsync(file)


def sync(path: Path) -> None:
    """Waits until the file, or the names in the folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _scan(path: Path) -> tuple[TextSet, int]:
    """The ids in the file, and where its last whole line ends."""
    finished = TextSet()
    last = 0
    for end, data in record_lines(path):
        if data["schema"] > SCHEMA:
            read_record(path, data)
        if data["sample"] in finished:
            raise UserError(
                f"{path}: sample {data['sample']!r} is there twice: remove one of its lines by hand to go on"
            )
        finished.add(data["sample"])
        last = end
    return finished, last


def _write_error(path: Path, count: int, error: OSError) -> UserError:
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error.strerror)
    return UserError(
        f"run_dir: cannot add to {path} ({reason}): its records ({count}) are whole; "
        "free some space and give the same command with the same run_dir to go on"
    )
