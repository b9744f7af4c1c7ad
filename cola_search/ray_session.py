"""Being connected to Ray for the length of a `with` block, and leaving nothing behind."""

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cola_search.errors import UserError

OBJECT_STORE_BYTES = 100 * 2**20  # only sample ids and records pass; Ray's own default takes 30% of the memory
KNOCK_SECONDS = 10.0
# Makes a Ray that starts on this machine listen on the loopback address only; Ray names it for the systems on which
# it is the default. Read when Ray's constants are imported, so the constant is set too.
LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


@contextmanager
def ray_session(address: str | None) -> Iterator[bool]:
    """Yield whether Ray is private (started here, for this block, on this machine).

    A Ray that is initialised already is used as it is and left running. Otherwise `address` says which cluster to
    join; None means RAY_ADDRESS, and without that a private one. Raises UserError if the cluster cannot be joined.
    """
    import ray

    if ray.is_initialized():
        yield False
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    private = address == "local"
    with _quiet_terminal(), _loopback(private):
        with _signals_as_they_are():
            _init(address, private)
        try:
            yield private
        finally:
            ray.shutdown()


def _init(address: str, private: bool) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    options: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES} if private else {}
    if private:
        # With a token in the environment Ray writes none into the home folder, which may be read-only. It is kept for
        # the life of this process because Ray caches it, and a second private Ray must know the same one.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        keep_niceness()
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except ImportError as error:
        raise UserError(f"cluster.address={address}: needs Ray's client: pip install 'ray[client]'") from error
    except AuthenticationError as error:
        raise UserError(
            f"cluster.address={address}: the cluster wants a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        remedy = (
            ""
            if private
            else "; is it up (ray start --head), is RAY_AUTH_TOKEN its token? Without an address Ray is private"
        )
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"cluster.address={address}: Ray cannot be reached{remedy} ({reason})") from error


def keep_niceness() -> None:
    """Workers of a Ray that this process starts are not niced unless the environment says so.

    Ray's own 15 leaves a replica a thirtieth of a core that another process of this machine keeps busy.
    """
    os.environ.setdefault("RAY_worker_niceness", "0")


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """Whoever heeds SIGTERM hears it while Ray starts and after: Ray's own way is to exit with 15, or with a trace of its C++."""
    heeded = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as stop:
        if callable(heeded) and stop.code == signal.SIGTERM:
            heeded(signal.SIGTERM, None)
        raise
    finally:
        if callable(heeded) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, heeded)


def _knock(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself tries for minutes. Other forms of address are Ray's."""
    import ray

    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return
    hosts = [ray.util.get_node_ip_address()] if host in ("localhost", "127.0.0.1") else []  # as Ray reads them
    for name in [*hosts, host]:
        try:
            socket.create_connection((name, int(port)), timeout=KNOCK_SECONDS).close()
            return
        except OSError as error:
            refusal = error
    raise refusal


@contextmanager
def _loopback(private: bool) -> Iterator[None]:
    """Nothing of a private Ray can be reached from another machine."""
    from ray._private import ray_constants

    before = os.environ.get(LOOPBACK_VARIABLE), ray_constants.ENABLE_RAY_CLUSTER
    if private:
        os.environ[LOOPBACK_VARIABLE], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before[1]
        if before[0] is None:
            os.environ.pop(LOOPBACK_VARIABLE, None)
        else:
            os.environ[LOOPBACK_VARIABLE] = before[0]


@contextmanager
def _quiet_terminal() -> Iterator[None]:
    """Ray's pages about every process that dies stay in its own logs: the pool says in one line what matters."""
    from ray._private import worker

    before = worker._worker_logs_enabled
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before
