"""What the end of a replica is put down to; test_cluster.py has real ends."""

from ray.exceptions import ActorUnavailableError, OutOfMemoryError

from cola_search.slot import Slot


def test_a_replica_that_ray_ended_for_want_of_memory_is_said_to_be_one_with_the_remedy() -> None:
    kind, text = Slot()._cause(OutOfMemoryError("memory on the node was 62.0GB / 64.0GB, IP: 10.0.0.7"))
    assert kind == "died"
    assert text == "its node ran out of memory; lower cluster.replicas or engine.memory"


def test_a_lost_connection_is_not_blamed_on_the_sample() -> None:
    kind, text = Slot()._cause(ActorUnavailableError("gone", b"1" * 16))
    assert (kind, text) == ("cut off", "its node or the connection was lost")


def test_the_pause_before_a_replica_is_started_again_grows_to_a_minute_however_often_it_failed() -> None:
    slot = Slot()
    pauses = []
    for _ in range(1500):
        slot.stop(now=0.0)
        pauses.append(slot.start_at)
    assert pauses[:4] == [0.0, 1.0, 2.0, 4.0]
    assert pauses[-1] == max(pauses) == 60.0
