"""Threads that work for a generator: who drops it midway waits for none of them."""

import threading
from collections.abc import Generator
from pathlib import Path
from typing import cast

from api.gallery import Card, Cards, Places, Told, nowhere
from tasks.pools import leaving
from tasks.store import Archive, FolderStore

PATIENCE_S = 60.0


class Slow(FolderStore):
    """A listing takes until `go`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go, self.begun, self.ended = threading.Event(), threading.Event(), False

    def list(self, prefix: str, after: str = "") -> list[str]:
        self.begun.set()
        self.go.wait(PATIENCE_S)
        self.ended = True
        return super().list(prefix, after)


def test_a_generator_is_closed_while_its_threads_work() -> None:
    go, begun, told = threading.Event(), threading.Event(), list[bool]()

    def work() -> None:
        begun.set()
        told.append(go.wait(PATIENCE_S))

    def numbers() -> Generator[int]:
        with leaving(1, "test") as pool:
            pool.submit(work)
            late = pool.submit(work)
            yield 1
            late.result()

    made = numbers()
    next(made)
    assert begun.wait(PATIENCE_S)
    made.close()
    assert told == []
    go.set()


def test_so_are_the_cards_of_a_gallery(tmp_path: Path) -> None:
    store = Slow(tmp_path)
    told: Told = {
        "custom_id": "a", "title": "", "status": "done", "met": 1, "total": 1, "error": "", "image": "", "job": "",
        "changed": 0.0, "picked": "",
    }  # fmt: skip
    cards = Cards(Archive(store)).of([told, {**told, "image": "ab" * 32, "job": "j"}], Places(*3 * (nowhere,)))
    cards = cast(Generator[Card], cards)
    assert next(cards).custom_id == "a"
    assert store.begun.wait(PATIENCE_S)
    cards.close()
    assert not store.ended
    store.go.set()
