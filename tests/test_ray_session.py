"""A private Ray: closed to other machines, content with a read-only home, and gone when its driver is."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cola_search import ray_session as ray_session_module
from cola_search.errors import UserError
from cola_search.ray_session import ray_session

HERE = Path(__file__).parent


def test_who_heeds_sigterm_still_hears_it_when_ray_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def heed(signum: int, frame: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, heed)
    monkeypatch.setattr(ray_session_module, "_init", lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    try:
        with ray_session("local"):
            assert signal.getsignal(signal.SIGTERM) is heed
    finally:
        signal.signal(signal.SIGTERM, before)


def test_who_heeds_sigterm_hears_it_while_ray_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_ray_does(address: str, private: bool) -> None:
        signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(signum))
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    monkeypatch.setattr(ray_session_module, "_init", as_ray_does)
    try:
        with pytest.raises(KeyboardInterrupt), ray_session("local"):
            pass
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def driver() -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A running driver whose home cannot be written to, and the processes of its Ray."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = clean | {"HOME": "/proc/no-home", "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, str(HERE / "private_driver.py")]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("record"):
            break
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    yield process, children
    for child in [*children, process]:
        if isinstance(child, subprocess.Popen) or child.is_running():
            child.kill()
    process.stdout.close()
    process.wait()


def test_ctrl_c_stops_a_private_ray_that_was_closed_to_other_machines(
    driver: tuple[subprocess.Popen[str], list[psutil.Process]],
) -> None:
    process, children = driver
    assert len(children) > 4
    everyone = [psutil.Process(process.pid), *children]
    sockets = [socket for one in everyone for socket in one.net_connections("tcp") if socket.status == "LISTEN"]
    assert sockets and {socket.laddr.ip.removeprefix("::ffff:") for socket in sockets} == {"127.0.0.1"}

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the driver and to everything it started
    output, _ = process.communicate(timeout=120)  # to the end of the pipe, which Ray's agents may hold for 75 s
    assert process.returncode == 130
    assert "Traceback" not in output and output.strip().endswith("stopped")
    assert not psutil.wait_procs(children, timeout=20)[1]


def test_told_to_end_with_all_that_it_started_a_driver_does_not_wait_for_a_ray_that_is_gone(
    driver: tuple[subprocess.Popen[str], list[psutil.Process]],
) -> None:
    process, children = driver
    os.killpg(process.pid, signal.SIGTERM)  # as `timeout`, Slurm and systemd do it
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130  # Ray gives up waiting for its own head after a minute, and ends the process
    assert output.strip().endswith("stopped")
    assert not psutil.wait_procs(children, timeout=20)[1]


def test_replicas_take_their_share_of_a_busy_machine_as_their_driver_does(
    driver: tuple[subprocess.Popen[str], list[psutil.Process]],
) -> None:
    process, children = driver
    replicas = [child for child in children if child.name().startswith("ray::Replica")]
    assert {replica.nice() for replica in replicas} == {psutil.Process(process.pid).nice()}


def test_no_replica_survives_a_driver_that_was_killed(
    driver: tuple[subprocess.Popen[str], list[psutil.Process]],
) -> None:
    process, children = driver
    replicas = [child for child in children if child.name().startswith("ray::Replica")]
    assert replicas
    os.kill(process.pid, signal.SIGKILL)
    assert not psutil.wait_procs(replicas, timeout=20)[1]  # two small agents of Ray's follow within 75 s


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_told_in_one_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match=f"cluster.address={address}: Ray cannot be reached"), ray_session(address):
        pass
