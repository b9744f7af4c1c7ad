"""The writer: durable lines, resume, repair, a full disk."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from record_fixture import record

from cola_search import record_writer
from cola_search.errors import UserError
from cola_search.record_writer import RecordWriter
from cola_search.records import SCHEMA, read_records


def finished(writer: RecordWriter, *names: str) -> bool:
    """Whether these samples and no others are."""
    return len(writer.finished) == len(names) and all(name in writer.finished for name in names)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond `size` bytes: a real failing write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def samples(path: Path) -> list[str]:
    return [kept.sample for kept in read_records(path)]


def test_every_line_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_text()))
    path = tmp_path / "new" / "records.jsonl"
    with RecordWriter(path) as writer:
        for name in "ab":
            writer.append(record(name))
    assert [text.count("\n") for text in synced] == [1, 2]


def test_records_that_came_together_are_synced_once_and_counted_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_text()))
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record("a"), record("b"), record("c"))
        assert finished(writer, "a", "b", "c") and [text.count("\n") for text in synced] == [3]
        for names in ("da", "dd"):
            with pytest.raises(ValueError, match="is in"):
                writer.append(*map(record, names))
    assert samples(path) == ["a", "b", "c"]


def test_of_records_that_came_together_those_that_fit_a_full_disk_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record("a"))
        room = 2 * path.stat().st_size + 100
        with files_of_at_most(room), pytest.raises(UserError, match=r"its records \(2\) are whole"):
            writer.append(record("b"), record("c"), record("d"))
        assert finished(writer, "a", "b")
        writer.append(record("c"), record("d"))
    assert samples(path) == ["a", "b", "c", "d"]


def test_a_resumed_writer_knows_what_is_there_and_adds_to_it(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record("a"))
    with RecordWriter(path) as writer:
        assert finished(writer, "a")
        writer.append(record("b"))
    assert samples(path) == ["a", "b"]


def test_a_failed_sample_counts_as_finished(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record("a", error="the grader raised"))
    with RecordWriter(path) as writer:
        assert finished(writer, "a")


@pytest.mark.parametrize("cut", [1, 2, 40, 10_000])
def test_a_torn_last_line_is_cut_off_and_its_sample_done_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record("a"))
        whole = path.stat().st_size
        writer.append(record("b"))
    os.truncate(path, max(whole + 1, path.stat().st_size - cut))
    with RecordWriter(path) as writer:
        assert finished(writer, "a")
        writer.append(record("b"))
    assert samples(path) == ["a", "b"]


def test_a_last_line_that_a_power_cut_filled_with_zeros_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(record("a").to_line().encode() + b"\n" + bytes(500) + b"\n")
    with RecordWriter(path) as writer:
        assert finished(writer, "a")
    assert path.read_bytes().endswith(b"}\n")


def test_a_sample_is_never_written_twice(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "records.jsonl") as writer:
        writer.append(record("a"))
        with pytest.raises(ValueError, match="'a' is in"):
            writer.append(record("a"))


def test_dropped_records_leave_and_their_samples_can_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        for name, error in (("a", None), ("b", "lost"), ("c", "wrong")):
            writer.append(record(name, error=error))
        before = path.read_bytes().splitlines()
        assert writer.drop(lambda kept: kept.error == "lost") == 1
        assert finished(writer, "a", "c") and path.read_bytes().splitlines() == [before[0], before[2]]
        writer.append(record("b"))
        assert writer.drop(lambda kept: kept.error == "lost") == 0
    with RecordWriter(path) as writer:
        assert finished(writer, "a", "b", "c")
    assert samples(path) == ["a", "c", "b"] and [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("at", ["_copy_without", "sync"])
def test_a_driver_killed_while_it_drops_records_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*args: object) -> None:
        raise Killed

    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record("a"))
        writer.append(record("b", error="lost"))
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(record_writer, at, die)
            writer.drop(lambda kept: kept.error == "lost")
    assert samples(path) == (["a", "b"] if at == "_copy_without" else ["a"])
    with RecordWriter(path) as writer:
        writer.drop(lambda kept: kept.error == "lost")
        assert finished(writer, "a")


def test_a_full_disk_while_records_are_dropped_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record("a"))
        writer.append(record("b", error="lost"))
        with files_of_at_most(100), pytest.raises(UserError, match=r"its records \(2\) are whole"):
            writer.drop(lambda kept: kept.error == "lost")
        writer.append(record("c"))
    assert samples(path) == ["a", "b", "c"]


def test_a_full_disk_is_told_and_leaves_the_records_whole(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record("a"))
        with (
            files_of_at_most(path.stat().st_size + 100),
            pytest.raises(UserError, match=r"its records \(1\) are whole"),
        ):
            writer.append(record("b"))
        assert samples(path) == ["a"] and path.read_bytes().endswith(b"\n")
        writer.append(record("b"))
    assert samples(path) == ["a", "b"]


def test_half_a_character_is_written_so_that_it_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record("a\udcff", question="日本 \\ud800 \ud83d", error="no such file: \udcff"))
    with RecordWriter(path) as writer:
        assert finished(writer, "a\udcff")
    (kept,) = read_records(path)
    assert (kept.question, kept.error) == ("日本 \\ud800 \ud83d", "no such file: \udcff")
    assert "日本" in path.read_text()


def test_a_file_that_holds_a_sample_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(2 * (record("a").to_line() + "\n"))
    with pytest.raises(UserError, match="sample 'a' is there twice: remove one"):
        RecordWriter(path)


def test_a_file_of_a_newer_schema_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(record().to_line().replace(f'"schema":{SCHEMA}', f'"schema":{SCHEMA + 1}') + "\n")
    with pytest.raises(UserError, match="upgrade"):
        RecordWriter(path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="run_dir: cannot write"):
        RecordWriter(tmp_path / "file" / "records.jsonl")
