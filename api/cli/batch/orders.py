"""What people do to a batch: list, show, pause, resume, cancel, retry, patch."""

import argparse
from collections.abc import Collection
from datetime import UTC, datetime
from itertools import islice

from rich.table import Table
from rich.text import Text

from api.cli import transcript
from api.cli.batch import find, terms
from api.cli.console import SATISFIED, Console
from api.cli.words import Cut
from api.client import Batch, BatchItem, BatchResult
from director.errors import Actor, BriefError
from director.transcript import Line, count, plain


def list_batches(args: argparse.Namespace, console: Console) -> int:
    most = None if args.all else max(args.limit, 0)
    found = list(islice(console.client.batches(args.status, args.label), None if most is None else most + 1))
    left_out = most is not None and len(found) > most
    found = found[:most]
    for batch in found:
        _data(console, batch)
    if console.screen.is_live:
        console.screen.show(_table(found) if found else Text("no batches", style="dim"))
    else:
        for batch in found:
            console.screen.text(_tab_separated(batch))
    if left_out:
        console.screen.note(f"older batches are left out: --all lists them, -n N lists N (now {most})")
    return SATISFIED


def _data(console: Console, batch: Batch) -> None:
    console.screen.data(batch.model_dump(mode="json", by_alias=True))


def _table(batches: list[Batch]) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    for ratio in (None, None, None, None, 1, 1):
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=ratio)
    for batch in batches:
        title = Text(plain(batch.title))
        for label in batch.labels:
            title.append(f"  #{plain(label, 64)}", style="cyan")
        table.add_row(
            Text(batch.id[:8]),
            Text(transcript.age(batch.created), style="dim"),
            Text(find.state(batch), style=find.style(batch)),
            Text(f"{batch.counts.ended:,}/{batch.total:,}"),
            Cut(title),
            Cut(Text(find.counted(batch.counts), style="dim")),
        )
    return table


def _tab_separated(batch: Batch) -> str:
    """One batch with tabs between its fields: id, created, status, ended, total, labels, title."""
    created = datetime.fromtimestamp(batch.created, UTC).isoformat(timespec="seconds")
    numbers = (str(batch.counts.ended), str(batch.total))
    return "\t".join([batch.id, created, batch.status, *numbers, ",".join(batch.labels), plain(batch.title, 120)])


def show(args: argparse.Namespace, console: Console) -> int:
    for name in args.batches:
        batch = console.client.batch(find.full_id(console, name))
        console.screen.line(*find.summary_lines(batch))
        if not args.items and not args.status:
            _data(console, batch)
            continue
        failed = _failed(console, batch) if not args.status or "failed" in args.status else {}
        any_told = False
        for item in console.client.batch_items(batch.id, args.status):
            any_told = True
            console.screen.line(_item_line(item))
            about = {"batch": batch.id, **item.model_dump(mode="json")}
            if item.status == "failed" and (result := failed.get(item.index)):
                console.screen.line(_error_line(result))
                about |= {"error": result.error, "fix": result.fix}
            console.screen.data(about)
        console.screen.line(*_what_to_do(batch, failed.values()))
        if not any_told:
            console.screen.line(Line("", f"no item is {' or '.join(args.status)}", "dim"))
    return SATISFIED


def _failed(console: Console, batch: Batch) -> dict[int, BatchResult]:
    """Results of failed items, by index."""
    if not batch.counts.failed:
        return {}
    return {each.index: each for each in console.client.batch_results(batch.id) if each.status == "failed"}


def _error_line(result: BatchResult) -> Line:
    fix = f" ({result.fix})" if result.fix else ""
    return Line("", plain(f"{result.error or 'nothing is known of why'}{fix}", 200), "red")


def _what_to_do(batch: Batch, failed: Collection[BatchResult]) -> list[Line]:
    briefs = sum(each.actor == Actor.USER for each in failed)
    lines = list[Line]()
    if again := len(failed) - briefs:
        told = f"visiondirector batch retry {batch.id[:8]} --failed: goes on with {count(again, 'item')}"
        lines.append(Line("then", f"{told} at the step that failed, once the cause is gone", "dim"))
    if briefs:
        told = f"{count(briefs, 'item')} failed by what the brief asks for: change it, and send it anew"
        lines.append(Line("then", told, "dim"))
    return lines


def _item_line(item: BatchItem) -> Line:
    job = f"  {item.job}" if item.job else ""  # whole: lists hold no jobs of a batch that has ended, to look a part up
    again = f", take {item.take + 1}" if item.take else ""
    return Line(item.status, plain(f"{item.custom_id}{again}{job}", 200), find.STYLES.get(item.status, ""))


def order(args: argparse.Namespace, console: Console) -> int:
    """`pause` and `resume`."""
    send = {"pause": console.client.pause_batch, "resume": console.client.resume_batch}[args.order]
    for name in args.batches:
        _tell(console, send(find.full_id(console, name)))
    return SATISFIED


def cancel(args: argparse.Namespace, console: Console) -> int:
    _tell(console, console.client.cancel_batch(find.full_id(console, args.batch), args.item or None))
    return SATISFIED


def retry(args: argparse.Namespace, console: Console) -> int:
    what = [name for name in ("failed", "unmet", "cancelled") if getattr(args, name)] or ["failed"]
    if args.rounds and "unmet" not in what:
        raise BriefError("only unmet items get more rounds", "write --unmet --rounds N", "--rounds")
    batch = console.client.retry_batch(find.full_id(console, args.batch), what, args.item or None, args.rounds)
    _tell(console, batch)
    if batch.ended:
        none = "none of these items" if args.item else "no item"
        console.screen.line(Line("", f"nothing goes on: {none} is {' or '.join(what)}", "yellow"))
    return SATISFIED


def patch(args: argparse.Namespace, console: Console) -> int:
    changes = terms.given(args)
    if args.item:
        others = (args.priority, args.max_in_flight, args.title)
        if changes or not args.front or any(each is not None for each in others):
            raise BriefError("items can be put first, and nothing else", "write --front --item CUSTOM_ID", "--item")
        _tell(console, console.client.put_first(find.full_id(console, args.batch), args.item))
        return SATISFIED
    if not changes and args.priority is None and args.max_in_flight is None and args.title is None and not args.front:
        raise BriefError("nothing is to be changed", "give --priority, --front, --budget or another option", "patch")
    id = find.full_id(console, args.batch)
    batch = console.client.patch_batch(id, args.priority, args.front, args.max_in_flight, args.title, **changes)
    _tell(console, batch)
    console.screen.line(*terms.late_lines(batch))
    return SATISFIED


def _tell(console: Console, batch: Batch) -> None:
    left = f", {count(batch.total - batch.counts.ended, 'item')} left" if not batch.ended else ""
    words = f"{batch.id[:8]}  {plain(batch.title)}: {find.counted(batch.counts)}{left}"
    console.screen.line(Line(find.state(batch), words, find.style(batch)))
    if batch.waits:
        console.screen.line(Line("waits", find.waits(batch), "yellow"))
    _data(console, batch)
