"""What was used last, kept in memory."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from cachetools import LRUCache

V = TypeVar("V")


class Recent(Generic[V]):
    """The values last used, up to `most` by their `size`, or in number. Safe for threads."""

    def __init__(self, most: int, size: Callable[[V], int] | None = None) -> None:
        self._values: LRUCache[str, V] = LRUCache(most, size)
        self._mutex = threading.Lock()

    def get(self, key: str) -> V | None:
        with self._mutex:
            return self._values.get(key)

    def put(self, key: str, value: V) -> None:
        """A value that alone is larger than `most` is not kept."""
        with self._mutex, suppress(ValueError):
            self._values[key] = value
