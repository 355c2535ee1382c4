"""How the C library keeps freed memory, in a process that makes large strings."""

import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h
_ARENAS = 2
_LARGE = 128 * 1024


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
