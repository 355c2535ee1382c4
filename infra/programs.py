"""The programs of a stack, their commands, and the configurations of supervisord and Prometheus for them."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infra.servers import CHECKOUT, dies_with_parent, free_port, redis_command, s3_command
from infra.state import State, log_path, socket_path
from tasks.settings import Settings
from worker.profiles import Machine, Profile, WorkerGroup
from worker.profiles.servers import command as server_command
from worker.profiles.servers import models_url

# A Celery worker finishes its step on TERM. After this time it is killed, and the step runs again elsewhere.
WORKER_STOP_SECONDS = 30

# They start before all other programs and stop after them.
SERVERS = ("redis", "s3")


@dataclass(frozen=True)
class Program:
    """One supervised process group.

    `worker`: it runs Celery. `viewer`: no job needs it. `model`: the URL that answers once a model is served.
    """

    name: str
    command: tuple[str, ...]
    worker: bool = False
    viewer: bool = False
    model: str = ""
    metrics_port: int = 0  # where Prometheus scrapes it; 0: nowhere
    stop_seconds: int = 10


def machine_programs(
    state: State, profile: Profile, machine: Machine, settings: Settings, flower: bool
) -> list[Program]:
    """The programs of one machine of a profile, in the order in which they are started."""
    python = (sys.executable, "-m")
    listed: list[Program] = []
    if machine.stores:
        redis = redis_command(state.var / "redis", state.redis_port, password=state.redis_password)
        listed += [Program("redis", tuple(redis)), Program("s3", tuple(s3_command(state.var / "s3", state.s3_port)))]
    for server in machine.servers:
        listed.append(Program(server.name, tuple(server_command(server, settings)), model=models_url(server)))
    if machine.door:
        listed += [Program("api", (*python, "api.app")), Program("reconciler", (*python, "worker.cli", "reconcile"))]
    for group in machine.workers:
        command = (*python, "worker.cli", "start", *_worker_arguments(profile, group))
        listed.append(Program(group.name, command, worker=True, stop_seconds=WORKER_STOP_SECONDS))
    if flower and machine.door:
        listed.append(Program("flower", (*python, "infra.flower"), viewer=True))
    return _with_metrics_ports(state, listed)


def _worker_arguments(profile: Profile, group: WorkerGroup) -> list[str]:
    arguments = ["--name", group.name, "--seats", ",".join(group.seats), "--concurrency", str(group.concurrency)]
    if group.gpu is not None:
        arguments += ["--gpu", str(group.gpu)]
    for model in profile.models(group):
        arguments += ["--editor", model]
    return arguments


def _with_metrics_ports(state: State, listed: Iterable[Program]) -> list[Program]:
    """The programs, with a free port for the metrics of each worker and of the reconciler."""
    taken = {state.redis_port, state.s3_port, state.api_port, state.flower_port}
    found: list[Program] = []
    for program in listed:
        if program.worker or program.name == "reconciler":
            port = free_port(frozenset(taken))
            taken.add(port)
            command = (*program.command, "--metrics-port", str(port))
            found.append(replace(program, command=command, metrics_port=port))
        else:
            found.append(program)
    return found


def prometheus_conf(state: State, listed: Sequence[Program]) -> str:
    """The configuration of a Prometheus for this stack, as JSON, which is YAML."""
    targets = [
        {"targets": [f"127.0.0.1:{program.metrics_port}"], "labels": {"program": program.name}}
        for program in listed
        if program.metrics_port
    ]
    scrapes: list[dict[str, Any]] = [{"job_name": "workers", "static_configs": targets}]
    if any(program.name == "api" for program in listed):
        target = {"targets": [f"127.0.0.1:{state.api_port}"], "labels": {"program": "api"}}
        token = {"credentials_file": str(state.token_file)}
        scrapes.insert(0, {"job_name": "api", "authorization": token, "static_configs": [target]})
    rules = str(CHECKOUT / "infra" / "prometheus" / "alerts.yml")
    conf = {"global": {"scrape_interval": "5s", "evaluation_interval": "5s"}, "rule_files": [rules]}
    return json.dumps({**conf, "scrape_configs": scrapes}, indent=2) + "\n"


def supervisor_conf(state: State, listed: Iterable[Program]) -> str:
    """The configuration of a supervisord that starts the servers at once and other programs on command."""
    daemon = {
        "nodaemon": "true",
        "directory": str(CHECKOUT),
        "logfile": str(state.var / "log" / "supervisord.log"),
        "pidfile": str(state.var / "supervisord.pid"),
        "identifier": "visiondirector",
        "silent": "true",
    }
    sections = [
        _section("supervisord", daemon),
        _section("unix_http_server", {"file": str(socket_path(state.var)), "chmod": "0600"}),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
    ]
    for program in listed:
        options = {
            "command": " ".join(_quoted(word) for word in dies_with_parent(list(program.command))),
            "priority": "1" if program.name in SERVERS else "2",
            "autostart": "true" if program.name in SERVERS else "false",
            "autorestart": "true",
            # Python needs a second or two until it fails to start, and that must count as a failed start.
            "startsecs": "1" if program.name in SERVERS else "3",
            # supervisord gives up after so many failed starts in a row; it waits a second more after each.
            "startretries": "60",
            "stopwaitsecs": str(program.stop_seconds),
            # TERM goes to the parent only, so that a Celery worker lets its children finish; KILL goes to all.
            "stopasgroup": "false",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": str(log_path(state.var, program.name)),
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": "2",
        }
        sections.append(_section(f"program:{program.name}", options))
    return "\n".join(sections)


def _section(name: str, options: dict[str, str]) -> str:
    # supervisord expands %(names)s in every value.
    lines = [f"{key} = {value.replace('%', '%%')}" for key, value in options.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _quoted(word: str) -> str:
    # supervisord splits commands as shlex does, and reads " ;" as the start of a comment.
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
