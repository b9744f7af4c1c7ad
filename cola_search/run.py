"""The driver of one run: samples go to replicas, records come back and are written, and everything shown is a view of them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cola_search.cluster import make_backend
from cola_search.cluster_settings import AUTO, ClusterSettings, PoolLimits
from cola_search.order import longest_first
from cola_search.pool import GIVEN_UP, Pool
from cola_search.prior_tables import check_apart
from cola_search.progress import RunProgress
from cola_search.record_of import error_record
from cola_search.record_writer import RecordWriter
from cola_search.records import Record, read_records
from cola_search.report.page import write_report
from cola_search.report.summary import Summary, SummaryBuilder, TaskFacts, write_summary
from cola_search.run_folder import RECORDS, SUMMARY, claim, locked
from cola_search.settings import Settings
from cola_search.settled import Founding
from cola_search.tasks.load import task_of_run
from cola_search.tasks.task import OTHERS, Task
from cola_search.tracking import Tracker, make_tracker


def run(settings: Settings, command: str = "") -> Summary:
    """Searches the samples that the run folder does not have yet, and returns the summary of all of them.

    Raises UserError for what the user can mend; what was finished until then is in the folder.
    """
    folder = Path(settings.run_dir)
    with locked(folder), RecordWriter(folder / RECORDS) as writer:
        claim(folder, settings.as_dict(), command)
        if settings.cluster.retry_given_up:
            writer.drop(_given_up)
        task = task_of_run(settings.task, settings.samples)
        check_apart(settings.prior, ((sample_id, task.question(sample_id)) for sample_id in _ids(task, settings)))
        builder = SummaryBuilder()
        for record in read_records(folder / RECORDS):
            builder.add(record)
        count = sum(1 for _ in _todo(task, settings, writer))
        rate = _speed_before(folder)
        with make_tracker(settings) as tracker:
            if count:
                todo = _todo(task, settings, writer)
                order = longest_first((sample_id, task.prompt_length(sample_id)) for sample_id in todo)
                with RunProgress(builder.tally.samples + count, builder.tally) as progress:
                    for line in filter(None, (*task.notes, tracker.place)):
                        progress.say(line)
                    rate = _search(settings, order, writer, builder, tracker, progress) or rate
            summary = builder.summary(_facts(task), rate, settings.search.max_length)
            write_summary(folder / SUMMARY, summary)
            write_report(folder)
            tracker.finish(summary, folder / RECORDS)
    return summary


def _speed_before(folder: Path) -> float | None:
    """The evaluations per second that an earlier command measured in this folder; None if there is nothing to read."""
    try:
        speed = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["evaluations_per_second"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return speed if isinstance(speed, float) else None


def _ids(task: Task, settings: Settings) -> Iterator[str]:
    """The ids of the run's items, one by one: nothing here grows with their number but the 8 bytes of each that is done."""
    return task.ids.first(settings.samples)


def _todo(task: Task, settings: Settings, writer: RecordWriter) -> Iterator[str]:
    return (sample_id for sample_id in _ids(task, settings) if sample_id not in writer.finished)


def _search(
    settings: Settings,
    order: Iterator[str],
    writer: RecordWriter,
    builder: SummaryBuilder,
    tracker: Tracker,
    progress: RunProgress,
) -> float | None:
    """Searches the samples; evaluations per second of this process, None if nothing was evaluated."""
    progress.update(0)
    founding = Founding(Path(settings.run_dir), settings, make_worker)
    with make_backend(_cluster(settings), founding, founding.settle) as backend:
        for lump in Pool(backend, order, _limits(settings)).lumps():
            records = [_record(settings, data) for data in lump]
            writer.append(*records)
            for record in records:
                builder.add(record)
                tracker.log(record, builder.tally)
                if record.error:
                    remedy = (
                        "; cluster.retry_given_up=true with this run_dir tries it again" if _given_up(record) else ""
                    )
                    progress.say(f"sample {record.sample} failed: {record.error}{remedy}")
            progress.update(backend.ready)
        return progress.evaluations_per_second


def _cluster(settings: Settings) -> ClusterSettings:
    """The cluster's settings: a model that is told to stay on the CPU waits for no GPU and holds none."""
    cpu = settings.model.device == "cpu" and settings.cluster.gpus_per_replica == AUTO
    return replace(settings.cluster, gpus_per_replica=0) if cpu else settings.cluster


def _given_up(record: Record) -> bool:
    return (record.error or "").startswith(GIVEN_UP)


def _limits(settings: Settings) -> PoolLimits:
    """Samples go out one a call, so that none waits for another, unless they share batches on the replica."""
    return settings.cluster.limits(settings.engine.samples_in_flight if settings.engine.mix_samples else 1)


def make_worker(settings: Settings) -> Any:
    """The worker of a replica, as a candidate; imported and made where it works."""
    from cola_search.job import LoadedReplica

    return LoadedReplica(settings)


def _record(settings: Settings, data: dict[str, Any]) -> Record:
    """The record of what came back; a sample whose replica was lost has nothing but its id and the reason."""
    return Record.from_dict(data) if "task" in data else error_record(settings, data["sample"], data["error"])


def _facts(task: Any) -> TaskFacts:
    return TaskFacts(
        metric=str(task.metric),
        chance=task.chance,
        majority=task.majority,
        transfer_items=min(len(task), OTHERS),
        version=task.version,
        prompt_hash=task.prompt_hash,
    )
