"""How a process that runs for months keeps little memory.

By default the garbage collector and the C library keep more than is in use, and a little more each hour.
"""

import ctypes
import gc

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h
_ARENAS = 2
_LARGE = 128 * 1024


def collect_often() -> None:
    """Let the collector leave alone what is there now, for ever: weights must not be among it.

    It looks at its last generation when a quarter has been added to that, in a process with many libraries after tens
    of thousands of objects. So long stays what refers to itself, as botocore's parsers do, one for each answer of S3.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # now it counts none of them


def give_back_freed() -> None:
    """Let glibc's malloc keep little of what is freed. It must come before threads do; elsewhere nothing happens.

    By default there are eight arenas for each core, each keeps what was freed in it, and once a large string was freed,
    others of its size are put there, too, between smaller ones. An archive with reports, megabytes of text made by ever
    new threads, so took 170 MB more than is in use.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)  # said so, it doesn't grow
