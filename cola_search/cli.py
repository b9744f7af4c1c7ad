"""The command `cola-search`: what was typed becomes checked settings, and each job a run in a folder of its own."""

import logging
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from cola_search import listing, sweep
from cola_search.combinations import check_read
from cola_search.command import Command, read_command
from cola_search.conf_path import conf_path
from cola_search.config import HYDRA_VERSION_BASE, PRIMARY, compose_jobs, prepare_hydra, sweep_folders, to_settings
from cola_search.errors import FolderRefused, UserError
from cola_search.hydra_source import quoted
from cola_search.ray_session import keep_niceness
from cola_search.run_folder import FAILED, make_folder
from cola_search.settings import Settings
from cola_search.shell import INTERRUPTED, JOB_FAILED, OK, USER_ERROR, complain, run_command, tell

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code: 0, 1 (a job failed), 2 (the user must change something) or 130 (stopped)."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    return run_command("cola-search", lambda: _answer(typed))


def _answer(arguments: Sequence[str]) -> int:
    if text := listing.answer(arguments):
        tell(text)
        return OK
    return _run(read_command(arguments), arguments)


def _run(command: Command, arguments: Sequence[str]) -> int:
    jobs: list[Settings] = []
    if command.runs or command.shows_settings:
        # Composed here as well as by Hydra, so that a mistake in any job is reported before the first one starts.
        jobs = compose_jobs(command.overrides, sweep=command.sweep, config_dir=command.config_dir)
        check_read(command.overrides, jobs)
    if not command.runs:
        return _start_hydra(command, [])
    folder = _folder(jobs)
    make_folder(folder)
    # Fixed here: a folder that is made of the time, say, would come out with another name when Hydra composes a job.
    command.overrides.append(f"run_dir={quoted(str(folder))}")
    failures: list[int] = []
    keep_niceness()  # here too, for a launcher may start a Ray of its own
    try:
        with _told_to_end():
            code = _start_hydra(command, failures, shlex.join(["cola-search", *arguments]))
    except KeyboardInterrupt:
        _say(f"stopped. What was finished is in {folder}; to go on: {_resume(arguments, folder)}")
        return INTERRUPTED
    if not command.sweep:
        return max(failures, default=code)
    return max(code, _end_sweep(folder, sweep_folders(command.overrides), failures))


def _folder(jobs: list[Settings]) -> Path:
    """The folder of the command: of its run, or above those of the jobs of a sweep. Raises UserError if jobs name several."""
    folders = list(dict.fromkeys(job.run_dir for job in jobs))
    if len(folders) > 1:
        raise UserError(
            f"run_dir is {folders[0]} for one job and {folders[1]} for another: name one folder, and each gets one below it."
        )
    return Path(folders[0])


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Within the block SIGTERM (`docker stop`, a batch system) acts as Ctrl-C: replicas and tracking end in good order, and the
    user is told how to go on."""

    def stop(signum: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _start_hydra(command: Command, failures: list[int], typed: str = "cola-search") -> int:
    """Lets Hydra run the job, or every job of the sweep, or show what it was asked to show."""
    prepare_hydra()

    @hydra.main(config_path=str(conf_path()), config_name=PRIMARY, version_base=HYDRA_VERSION_BASE)
    def job(config: DictConfig) -> None:
        if code := _run_job(_job_settings(config), typed):
            failures.append(code)

    typed_arguments = sys.argv
    sys.argv = [sys.argv[0], *command.flags, *command.overrides]
    try:
        job()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else JOB_FAILED
    finally:
        sys.argv = typed_arguments
    return OK


def _job_settings(config: DictConfig) -> Settings:
    """The settings of this job, with the folder that Hydra gave it; jobs of a sweep share a tracking group."""
    settings = to_settings(config)
    context = HydraConfig.get()
    folder = Path(context.runtime.output_dir)
    tracking = settings.tracking
    if context.mode == RunMode.MULTIRUN and tracking.group is None:
        tracking = replace(tracking, group=Path(context.sweep.dir).resolve().name)
    return replace(settings, run_dir=os.path.relpath(folder), tracking=tracking)


def _run_job(settings: Settings, typed: str) -> int:
    """Runs one job. What goes wrong is said at once and left in the job's folder; the next job of the sweep runs."""
    marker, beside = Path(settings.run_dir) / FAILED, sweep.refusal(Path(settings.run_dir))
    beside.unlink(missing_ok=True)
    try:
        show = _work(settings, typed)
    except FolderRefused as error:  # the folder is another run's: nothing is written into it
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            _leave(beside, str(error))
        _say(str(error))
        return USER_ERROR
    except UserError as error:
        _leave(marker, str(error))
        _say(str(error))
        return USER_ERROR
    except Exception as error:
        _leave(marker, traceback.format_exc())
        _say(f"{type(error).__name__}: {error} (traceback in {marker})")
        return JOB_FAILED
    marker.unlink(missing_ok=True)
    show()
    return OK


def _work(settings: Settings, typed: str) -> Callable[[], None]:
    """Does what the objective asks for; what comes back prints the result."""
    if settings.objective.kind == "dataset":
        from cola_search.objective.dataset import run_dataset
        from cola_search.objective.dataset_table import print_dataset

        return partial(print_dataset, run_dataset(settings, typed), settings.run_dir)
    if settings.objective.kind == "menu":
        from cola_search.objective.menu_run import run_menu
        from cola_search.objective.menu_table import print_menu

        return partial(print_menu, run_menu(settings, typed), settings.run_dir)
    from cola_search.report.terminal import print_summary
    from cola_search.run import run

    return partial(print_summary, run(settings, command=typed), settings.run_dir)


def _leave(marker: Path, text: str) -> None:
    try:
        marker.write_text(text.rstrip() + "\n", encoding="utf-8")
    except OSError as error:  # a full disk, most likely the very reason
        log.warning("cannot write %s: %s", marker, error.strerror)


def _end_sweep(folder: Path, names: set[str], failures: list[int]) -> int:
    """Prints the table of all jobs below the folder, and says how many of those named, which are this command's, failed.

    Jobs may have run in other processes, so what counts is what lies in their folders.
    """
    from cola_search.report.terminal import print_objectives, print_sweep

    jobs, objectives = sweep.sweep_jobs(folder), sweep.objective_jobs(folder)
    if objectives:
        print_objectives(sweep.shown(folder, objectives), str(folder))
    if jobs or not objectives:
        print_sweep(sweep.shown(folder, jobs), str(folder))
    # A job that was killed may have left neither a result nor a reason, so those without a result count as failed.
    failed = sum(jobs.get(name) is None and name not in objectives for name in names)
    failed = max(failed, min(len(failures), len(names)))
    if failed:
        _say(f"{failed} of {len(names)} jobs failed; each has the reason in its file {FAILED}, or beside its folder")
    return JOB_FAILED if failed else OK


def _resume(arguments: Sequence[str], folder: Path) -> str:
    rest = [argument for argument in arguments if not argument.startswith("run_dir=")]
    return shlex.join(["cola-search", *rest, f"run_dir={folder}"])


def _say(sentence: str) -> None:
    complain("cola-search", sentence)
