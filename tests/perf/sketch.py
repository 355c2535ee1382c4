"""How many sketch jobs the local stack ends in a minute."""

import time
from pathlib import Path

from api.client import Client
from infra.stack import Stack
from worker.bench.lgbench.compose import compose
from worker.bench.lgbench.pool import pool
from worker.bench.lgbench.write import write

JOBS = 8


def jobs_a_minute(var: Path) -> float:
    """Eight jobs of composed briefs at once, at 384 pixels, on the stack's four worker processes."""
    settings = {"width": 384, "height": 384}
    briefs = [record.prompt for record in compose(pool(), JOBS, (12, 16), 1, "t2i", write)]
    with Stack(var, workers=4, flower=False) as stack, Client(stack.api_url, stack.token) as client:
        started = time.monotonic()
        ids = [client.submit(brief, settings=settings, seed=1).id for brief in briefs]
        for job in ids:
            client.wait(job)
        return 60 * JOBS / (time.monotonic() - started)
