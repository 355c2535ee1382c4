"""How the C library keeps freed memory, in a process whose many threads make large strings."""

import ctypes

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def use_few_arenas() -> None:
    """Let all threads share two arenas of glibc's malloc. It must come before threads do; elsewhere nothing happens.

    By default there are eight for each core, and each keeps what was freed in it. An archive with reports, megabytes of
    text made by ever new threads, so took 130 MB more than is in use.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_ARENA_MAX, _ARENAS)
