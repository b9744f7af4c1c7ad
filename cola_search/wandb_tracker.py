"""A run on Weights & Biases: scalars, a table that grows, pictures, the record file; offline without a key or where asked."""

import contextlib
import logging
import netrc
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from cola_search.errors import UserError
from cola_search.records import Record, read_records
from cola_search.report.panels import Panels
from cola_search.report.summary import Summary
from cola_search.report.tally import Tally
from cola_search.run_folder import RECORDS
from cola_search.settings import TrackingSettings
from cola_search.tracking import AXES, COLUMNS, headline, row, scalars

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)

TABLE = "samples_table"
_MOST_ROWS = 20_000  # the table is kept in memory; the record file, which is sent at the end, has all rows
_INIT_SECONDS = 30.0


class WandbTracker:
    """One W&B run for one run folder, the same one when the folder is gone on with.

    Rows, scalars and pictures are sent at a growing stride, so that a million samples are not a million versions of
    the table. Pictures are of all records of the folder, those of earlier commands too; so is the table of an offline run,
    because the table that is sent last replaces all earlier ones. Steps go on after those of the folder's earlier commands.
    What goes wrong on W&B's side is logged once and stops the tracking, not the search.
    """

    def __init__(self, settings: TrackingSettings, config: Mapping[str, Any], folder: Path) -> None:
        self._settings, self._config, self._folder = settings, config, folder
        self._run: wandb.Run | None = None
        self._table: wandb.Table | None = None
        self._rows = _Stride(per=20)
        self._points = _Stride(per=1000)
        self._pictures = _Stride(per=2)
        self._panels = Panels()
        self.place = ""

    def __enter__(self) -> Self:
        wandb = _import_wandb()
        mode = self._mode()
        if mode == "disabled":
            return self
        try:
            self._run = self._start(mode)
        except UserError as error:
            if mode == "offline" or self._settings.mode == "online":
                raise
            log.warning("%s; this run is kept offline", error)
            wandb.teardown()  # else the id is still taken by the attempt
            self._run = self._start("offline")
        for axis in AXES:
            self._run.define_metric(axis, hidden=True)
            self._run.define_metric(f"by_{axis}/*", step_metric=axis)
        self._table = wandb.Table(columns=COLUMNS, log_mode="INCREMENTAL")
        if (self._folder / RECORDS).is_file():
            self._panels = Panels.of(read_records(self._folder / RECORDS))
            for record in islice(read_records(self._folder / RECORDS), _MOST_ROWS if self._run.offline else 0):
                self._table.add_data(*row(record))
            self._rows.behind = bool(self._table.data)
        offline = f"W&B is offline; to send it: wandb sync {self._folder / 'wandb' / 'offline-run-*'}"
        self.place = offline if self._run.offline else str(self._run.url)
        return self

    def log(self, record: Record, tally: Tally) -> None:
        """Adds the sample's row to the table and a point to every scalar."""
        self._guarded(lambda run: self._log(run, record, tally))

    def finish(self, summary: Summary, records: Path) -> None:
        """Sends what is left, the figures of the summary, and the record file as an artifact."""
        self._guarded(lambda run: self._finish(run, summary, records))

    def __exit__(self, *exc_info: object) -> None:
        code = int(exc_info[0] is not None)
        self._guarded(lambda run: run.finish(exit_code=code))
        self._run = None

    def _mode(self) -> str:
        """online, offline or disabled; auto is what WANDB_MODE says, or else online where there is a key.

        Raises UserError for online without a key, for nobody is asked for one, and for a WANDB_MODE that is none.
        """
        if self._settings.mode == "auto":
            asked = mode_of_environment()
            return asked if asked in ("offline", "disabled") or has_key() else "offline"
        if self._settings.mode == "offline":
            return "offline"
        if not has_key():
            raise UserError("tracking.mode=online needs a key: set WANDB_API_KEY, or use tracking.mode=offline.")
        return "online"

    def _start(self, mode: str) -> "wandb.Run":
        import wandb

        try:
            with _own_folders(self._folder):
                return wandb.init(
                    project=self._settings.project,
                    entity=self._settings.entity,
                    group=self._settings.group,
                    job_type="search",
                    name=self._settings.name or self._folder.resolve().name,
                    id=run_id(self._folder),
                    resume="allow",
                    dir=self._folder,
                    config=dict(self._config),
                    settings=_private(mode),
                )
        except Exception as error:  # W&B has no one base class for what can go wrong here
            reason = " ".join(str(error).split())
            raise UserError(
                f"tracking=wandb could not start {mode} ({reason}): use tracking.mode=offline or tracking=none"
            ) from error

    def _guarded(self, send: "Callable[[wandb.Run], None]") -> None:
        if self._run is None:
            return
        try:
            with _own_folders(self._folder):
                send(self._run)
        except Exception:
            log.warning("tracking stopped; the search goes on and its records are whole", exc_info=True)
            with contextlib.suppress(Exception):  # else the next run of this process would be given this one
                self._run.finish(exit_code=1)
            self._run = None

    def _log(self, run: "wandb.Run", record: Record, tally: Tally) -> None:
        assert self._table is not None
        self._panels.add(record)
        payload: dict[str, Any] = {}
        if len(self._table.data) < _MOST_ROWS:
            self._table.add_data(*row(record))
            payload = {TABLE: self._table} if self._rows.due(tally.samples) else {}
        if self._points.due(tally.samples):
            payload |= scalars(tally)
        if self._pictures.due(tally.samples):
            payload |= self._drawn()
        if payload:
            self._send(run, payload)

    def _send(self, run: "wandb.Run", payload: dict[str, Any]) -> None:
        """Logs at the next step, which the folder keeps: an offline run begins at 0 again, over what was sent before."""
        kept = self._folder / "wandb-run-step"
        # a disk that was full, or a kill, may have left it empty
        step = max(run.step, int((kept.read_text() if kept.exists() else "") or 0))
        kept.write_text(f"{step + 1}\n", encoding="utf-8")
        run.log(payload, step=step, commit=True)

    def _finish(self, run: "wandb.Run", summary: Summary, records: Path) -> None:
        import wandb

        self._send(run, self._drawn() | ({TABLE: self._table} if self._rows.behind else {}))
        run.summary.update(headline(summary))
        artifact = wandb.Artifact(f"records-{run.id}", type="records", metadata={"samples": summary.samples})
        artifact.add_file(str(records), name="records.jsonl", policy="immutable")
        run.log_artifact(artifact)

    def _drawn(self) -> dict[str, Any]:
        """The pictures as they are now, without the style sheet from the network that `inject` would add."""
        import wandb

        return {key: wandb.Html(page, inject=False) for key, page in self._panels.html().items()}


class _Stride:
    """Says when something that is done for ever more samples is due: each time at first, then every 1/per of all."""

    def __init__(self, per: int) -> None:
        self._per = per
        self._last = 0
        self.behind = False

    def due(self, count: int) -> bool:
        self.behind = count - self._last < max(1, self._last // self._per)
        if not self.behind:
            self._last = count
        return not self.behind


def run_id(folder: Path) -> str:
    """The id of the folder's W&B run, made on the first call and kept in the folder, wherever that is moved to."""
    path = folder / "wandb-run-id"
    if not path.exists() or not path.stat().st_size:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(4) + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def mode_of_environment() -> str:
    """online, offline or disabled, as WANDB_MODE says ("dryrun" is offline, "run" online, as W&B reads it); online without."""
    asked = os.environ.get("WANDB_MODE") or "online"
    known = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}
    if asked not in known:
        raise UserError(
            f"WANDB_MODE={asked} is none of {', '.join(known)}: set it to one of these, or set tracking.mode."
        )
    return known[asked]


def has_key() -> bool:
    """Whether W&B can log in without asking: by WANDB_API_KEY, or by the netrc file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import wandb

    host = urlsplit(wandb.setup().settings.base_url).hostname
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        return host in netrc.netrc(path).hosts
    return False


def _import_wandb() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise UserError("tracking=wandb needs the package wandb: install it, or use tracking=none.") from error
    return wandb


def _private(mode: str) -> "wandb.Settings":
    """Settings under which W&B keeps nothing of the machine: no host name, packages, code, git remote or console."""
    import wandb

    return wandb.Settings(
        mode=mode,  # type: ignore[arg-type]
        silent=True,
        console="off",
        host="-",
        init_timeout=_INIT_SECONDS,
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )


@contextlib.contextmanager
def _own_folders(folder: Path) -> Iterator[None]:
    """Lets W&B stage and cache files in the run folder unless the user chose: a read-only home then does no harm."""
    names = {"WANDB_DATA_DIR": "staging", "WANDB_CACHE_DIR": "cache", "WANDB_CONFIG_DIR": "config"}
    ours = {name: str(folder.resolve() / "wandb" / sub) for name, sub in names.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
