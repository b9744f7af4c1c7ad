"""A driver with a private Ray, run as a process of its own by test_ray_session.py: it works until it is stopped."""

import itertools
import signal
import sys
from functools import partial

import cluster_workers
from ray import cloudpickle

from cola_search.cluster import make_backend
from cola_search.cluster_settings import ClusterSettings
from cola_search.pool import run_pool

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in its background deaf to it
signal.signal(signal.SIGTERM, signal.default_int_handler)
cloudpickle.register_pickle_by_value(cluster_workers)
settings = ClusterSettings(replicas=2, gpus_per_replica=0)
try:
    with make_backend(settings, partial(cluster_workers.TellingWorker, 0.05)) as backend:
        for record in run_pool(backend, map(str, itertools.count()), settings.limits()):
            print("record", record["pid"], flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
    sys.exit(130)
