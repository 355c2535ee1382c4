"""`bench imgedit`: ImgEdit's basic suite through the loop, any OpenAI-compatible judge, its official figures.

One of three: read a judge's results (`--results`), judge pictures made elsewhere (`--images`), or edit the originals
through the loop (`--originals` and `-o`); the last two ask the judge that `--judge-url` names.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from director.errors import BriefError
from tasks.settings import Settings
from worker.bench import command
from worker.bench.cases import Runner
from worker.bench.imgedit.layout import edit_cases, edit_path, limited_edits
from worker.bench.imgedit.scoring import TYPES, Edit, compared, read_edits, read_judge_prompts, read_results, scored
from worker.bench.record import control_lines, cost_lines, counted, filed_record, interval_text

if TYPE_CHECKING:
    from worker.bench.imgedit.judge import Said


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("what to score")
    source.add_argument("--edits", type=Path, required=True, help="ImgEdit's basic_edit.json")
    source.add_argument("--prompts", type=Path, help="ImgEdit's prompts.json: what the judge is asked")
    source.add_argument("--results", type=Path, help="score this result.json of a judge")
    source.add_argument("--images", type=Path, help="judge the <key>.png of this folder")
    source.add_argument("--originals", type=Path, help="folder of the source pictures: edit them, or judge beside them")
    source.add_argument("-o", "--output", type=Path, help="folder for pictures, replies and result.json")
    source.add_argument("--limit", type=int, help="only the first edits of each type")
    source.add_argument(
        "--cap", action="store_true", help="no second or third score above the first (not as published)"
    )
    source.add_argument("--control", type=Path, help="result.json of another system: the paired difference")
    source.add_argument("--json", type=Path, help="also write the figures to this file")
    judge = parser.add_argument_group("the judge")
    judge.add_argument("--judge-url", help="base URL of an OpenAI-compatible API, with its /v1")
    judge.add_argument("--judge-model", default="gpt-4o", help="its name there (default: gpt-4o, as published)")
    judge.add_argument("--judge-key-env", default="OPENAI_API_KEY", help="environment variable with the key")
    judge.add_argument("--judge-concurrency", type=int, default=8, help="questions on the way at once")
    judge.add_argument("--temperature", type=float, help="default: the server's own, as published")
    judge.add_argument("--max-tokens", type=int, help="of a reply; default: the server's own")
    judge.add_argument("--again", action="store_true", help="ask again where the reply held no three scores")
    command.add_loop_arguments(parser)


def run(args: argparse.Namespace, settings: Settings, runner: Runner) -> int:
    command.check_options(args, "judge_concurrency", "max_tokens")
    every = read_edits(args.edits.read_bytes(), str(args.edits))
    edits = limited_edits(every, args.limit)
    prompts = read_judge_prompts(args.prompts.read_bytes(), str(args.prompts)) if args.prompts else None
    if args.results:
        replies = read_results(args.results.read_bytes(), every, str(args.results))
        result = _figures(replies, edits, prompts, args) | {"editor": "not known: read from a file"}
        result["grader"] = "as in the file"
    elif args.images and args.output:
        result = {**filed_record(args.images.parent), **_judged(args.images, edits, prompts, args, settings)}
    elif args.originals and args.output:
        cases = edit_cases(edits, args.originals)
        runs, record = command.draw(
            cases, (args.seed,), lambda work: str(edit_path(work.case.id)), args, runner, "edits"
        )
        if args.no_grade:
            _tell_how(args)
            return int(any(each.error for each in runs))
        result = {**record, **_judged(args.output / "images", edits, prompts, args, settings)}
    else:
        raise BriefError(
            "nothing says what to score", "give --results, --images and -o, or --originals and -o", "bench imgedit"
        )
    command.write_json(args.json, result)
    print(table(result))
    return 0


def _tell_how(args: argparse.Namespace) -> None:
    output = args.output.absolute()
    words = ["--edits", str(args.edits.absolute()), "--originals", str(args.originals.absolute())]
    words += ["--images", str(output / "images"), "-o", str(output), "--prompts", "…", "--judge-url", "…"]
    command.tell_how("judge them", "imgedit", words, args.limit)


def _judged(
    images: Path,
    edits: Mapping[str, Edit],
    prompts: Mapping[str, str] | None,
    args: argparse.Namespace,
    settings: Settings,
) -> dict[str, Any]:
    if not args.judge_url:
        return {
            "benchmark": "imgedit",
            "grader": "none",
            "not_judged": "no judge: give --judge-url, --judge-model, --prompts",
        }
    if not args.judge_url.startswith(("http://", "https://")):
        raise BriefError(f"{args.judge_url} is no URL", "write http://host:port/v1", "--judge-url")
    if not prompts:
        raise BriefError("nothing says what the judge is asked", "give ImgEdit's prompts.json", "--prompts")
    if not args.originals:
        raise BriefError("the judge needs the source pictures too", "give their folder", "--originals")
    try:
        from worker.bench.imgedit.judge import JudgeGone, JudgeServer, official, open_judge
        from worker.bench.imgedit.judging import Material, ask
    except ImportError as error:
        raise BriefError(f"the judge needs the openai package ({error})", "run make setup", "--judge-url") from error

    server = JudgeServer(
        url=args.judge_url,
        model=args.judge_model,
        api_key=os.environ.get(args.judge_key_env, ""),
        temperature=args.temperature,
        max_tokens=args.max_tokens,
        concurrency=args.judge_concurrency,
    )
    told = command.Teller("judged", len(edits))
    with open_judge(server) as judge:
        material = Material(edits, prompts, args.originals, images)
        said, unusable = ask(material, args.output, server, judge, settings, args.again, told)
    command.write_json(args.output / "result.json", official(said))
    errors = {key: each.error for key, each in said.items() if each.error}
    if errors and len(errors) == len(said):
        raise JudgeGone(f"{server.url} ({server.model}): {next(iter(errors.values()))}", "mend it and run this again")
    replies = {key: None if key in errors else each.reply for key, each in said.items()}
    return {
        **_figures(replies, edits, prompts, args),
        "grader": f"{server.model} at {server.url}",
        "results": str(args.output / "result.json"),
        "unusable_pictures": unusable,
        "judge_errors": errors,
        "judge_cost": _cost(said),
    }


def _cost(said: "Mapping[str, Said]") -> dict[str, float]:
    names = ("prompt_tokens", "completion_tokens", "seconds")
    return {"calls": len(said), **{name: round(sum(getattr(s, name) for s in said.values()), 3) for name in names}}


def _figures(
    replies: Mapping[str, str | None],
    edits: Mapping[str, Edit],
    prompts: Mapping[str, str] | None,
    args: argparse.Namespace,
) -> dict[str, Any]:
    result: dict[str, Any] = {"benchmark": "imgedit", **scored(replies, edits, prompts, args.cap)}
    if args.control:
        every = read_edits(args.edits.read_bytes(), str(args.edits))
        other = read_results(args.control.read_bytes(), every, str(args.control))
        result["control"] = {"file": str(args.control), **compared(replies, other, edits, prompts, args.cap)}
    return result


def table(result: dict[str, Any]) -> str:
    """The figures as text, with what they were measured on."""
    lines = [f"ImgEdit; editor: {result['editor']}; grader: {result['grader']}", *cost_lines(result)]
    if "not_judged" in result:
        return "\n".join([*lines, f"not judged: {result['not_judged']}"])
    if "judge_cost" in result:
        lines.append(f"judge: {counted(result['judge_cost'])}")
    lines.append(f"{'type':<12}{'score':>7}{'95 % interval':>18}{'edits':>7}")
    for kind, row in result["types"].items():
        interval = interval_text(row["ci"], ".2f")
        lines.append(f"{kind:<12}{row['score']:>7.2f}{interval:>18}{row['edits']:>7}")
    interval = interval_text(result["overall_ci"], ".2f")
    of = f"mean of {len(result['types'])} of {len(TYPES)} types"
    lines.append(f"overall {result['overall']:.2f} ({of}), 95 % interval {interval} (bootstrap over edits)")
    if result["cap"]:
        lines.append("second and third scores are capped by the first: not as published")
    if result["types_missing"]:
        lines.append(f"no score of {', '.join(result['types_missing'])}: not the official overall")
    why = ", ".join(f"{count} {reason}" for reason, count in result["unscored"].items()) or "none"
    lines.append(f"{result['scored']} of {result['edits']} edits scored; unscored: {why}")
    return "\n".join([*lines, *control_lines(result)])
