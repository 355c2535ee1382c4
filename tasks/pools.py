"""Threads that work for a generator."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def leaving(threads: int, name: str) -> Generator[ThreadPoolExecutor]:
    """A pool whose end waits for nobody: what was not begun is dropped.

    A generator that nobody reads to its end is closed by the garbage collector, in any thread and in the middle of
    anything. If that thread holds a lock and waits for the pool, and the pool's threads wait for the lock, both stop
    for good: ThreadPoolExecutor.submit has such a lock, one for all pools of the process.
    """
    pool = ThreadPoolExecutor(threads, name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
