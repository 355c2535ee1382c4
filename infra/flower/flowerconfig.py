# Flower executes this file; each name is one of its options.

import os

# basic_auth guards pages, API and actions, but /metrics and /healthcheck stay open, and there is no TLS:
# from another machine Flower is reached through a proxy. In a container it listens to all of that container.
address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")

# Flower asks for task events repeatedly, so that it sees workers that start later.
enable_events = True

# History survives a restart of Flower. It is written every minute, so that it survives a crash too.
persistent = True
state_save_interval = 60_000
max_tasks = 20_000
max_workers = 200
# Ended worker processes are removed from the list after an hour.
purge_offline_workers = 3_600

# A worker that runs a step answers late: a second is too short on a busy machine.
inspect_timeout = 3_000.0

# `args` is the line that tasks/app.py writes: seat, step, batch, brief, job.
# `uuid` opens the try, with its traceback and result.
tasks_columns = "args,state,received,runtime,worker,uuid"
natural_time = True
