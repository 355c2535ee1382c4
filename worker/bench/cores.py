"""How benchmarks use the cores of a machine: one process each, one thread a process."""

import os

from threadpoolctl import threadpool_limits


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> None:
    """Called first in a worker process: threads of a linear algebra library would only fight each other there.

    Variables such as OMP_NUM_THREADS are read when numpy is loaded, which a forked process is too late for.
    """
    threadpool_limits(1)
