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
