"""`visiondirector gc`: remove old jobs and unused pictures. It needs the settings of storage and ledger.

The clients of storage and ledger are imported when it runs: every other command starts in half the time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

from director.errors import BriefError, StoreError

if TYPE_CHECKING:
    from tasks.retention import Swept
    from tasks.settings import Settings

Add = Callable[..., argparse.ArgumentParser]


def add(add_parser: Add) -> None:
    """Put the command into a parser."""
    made = add_parser(
        "gc",
        help="remove old jobs and unused pictures (on a machine with the settings of the service)",
        description="Remove jobs that ended more than keep_days ago, the rest of deleted jobs, and pictures that no "
        "stored job names. It reads VISIONDIRECTOR_* as the service does, and may run at any time beside the service.",
    )
    made.add_argument("--dry-run", action="store_true", help="list what would be removed, and remove nothing")
    made.add_argument("--keep-days", type=float, metavar="N", help="in place of VISIONDIRECTOR_KEEP_DAYS (0: keep all)")
    made.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    made.set_defaults(local=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 2: settings that can't be used, or no marker of ours; 3: storage or ledger are out of reach."""
    try:
        from tasks.retention import NotOurs
        from tasks.settings import BadSettings, load_settings
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("tasks."):
            raise
        here = "this command came with the client alone, which knows no storage"
        raise BriefError(here, "run it on a machine of the service", "gc") from error

    try:
        settings = load_settings(**({} if args.keep_days is None else {"keep_days": args.keep_days}))
        swept = sweep(settings, args.dry_run)
    except (BadSettings, NotOurs) as error:
        print(error, file=sys.stderr)
        return 2
    except StoreError as error:
        print(f"{error}\nWhat was not removed is left for the next time.", file=sys.stderr)
        return 3
    print(json.dumps(asdict(swept)) if args.json else listing(swept, args.dry_run))
    return 0


def sweep(settings: "Settings", dry: bool) -> "Swept":
    """One sweep over the storage and ledger of the settings."""
    from tasks.ledger.ledger import Ledger, connect
    from tasks.nightly import note
    from tasks.retention import Sweeper
    from tasks.store import S3Store

    ledger, began = Ledger(connect(settings.ledger_url), settings.limits), time.time()
    with ledger, closing(S3Store(settings)) as store:
        swept = Sweeper.of(settings, store, ledger).sweep(dry)
        if not dry:
            note(store, began, swept)
        return swept


def listing(swept: "Swept", dry: bool) -> str:
    """One line for each job and batch, and the totals."""
    lines = [f"{job}  {why}" for job, why in sorted(swept.jobs.items())]
    lines += [f"{batch}  {why} (a batch)" for batch, why in sorted(swept.batches.items())]
    lines += [f"{job}  stays: it is active again" for job in swept.active]
    batches = f"{len(swept.batches)} batches, " if swept.batches else ""
    notices = f"{swept.notices} notices, " if swept.notices else ""
    objects = f"{len(swept.jobs)} jobs, {swept.images} pictures, {swept.blobs} blobs"
    counts = f"{batches}{objects}, {notices}{swept.bytes / 1e6:,.1f} MB"
    if swept.foreign:
        lines.append(f"{swept.foreign} objects are not ours: left")
    if swept.without_job:
        lines.append(f"{swept.without_job} jobs have lost their job.json and are not deleted: left")
    return "\n".join([*lines, f"{'would remove' if dry else 'removed'} {counts}"])
