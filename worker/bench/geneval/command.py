"""`bench geneval`: pictures in GenEval's layout, its official rules over a detector on disk, its official figures.

One of three: read a results file (`--results`), judge pictures made elsewhere (`--images`), or draw them through the
loop (`--metadata` and `-o`) and judge them where a detector is at hand.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from director.errors import BriefError
from tasks.settings import Settings
from worker.bench import command
from worker.bench.cases import Run, Runner, Work
from worker.bench.geneval.images import Evaluation, evaluate, write_results
from worker.bench.geneval.layout import limited, read_layout, sample_path, samples_of, write_metadata
from worker.bench.geneval.scoring import SAMPLES, TAGS, Entry, Row, compared, read_metadata, read_results, scored
from worker.bench.record import control_lines, cost_lines, filed_record, interval_text

DETECTOR, CLIP = "mask2former-swin-small-coco-instance", "clip-vit-large-patch14"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("what to score")
    source.add_argument("--metadata", type=Path, help="GenEval's evaluation_metadata.jsonl")
    source.add_argument("--results", type=Path, help="score this results.jsonl of evaluate_images.py")
    source.add_argument("--images", type=Path, help="judge the pictures of this folder, in the official layout")
    source.add_argument("-o", "--output", type=Path, help="folder for pictures, judgements and results.jsonl")
    source.add_argument("--samples", type=int, default=SAMPLES, help=f"pictures of each prompt (official: {SAMPLES})")
    source.add_argument("--limit", type=int, help="only the first prompts of each tag")
    source.add_argument("--control", type=Path, help="results.jsonl of another system: the paired difference")
    source.add_argument("--json", type=Path, help="also write the figures to this file")
    look = parser.add_argument_group("the detector", "folders as transformers saves them, below VISIONDIRECTOR_WEIGHTS")
    look.add_argument("--detector", default=DETECTOR, help=f"Mask2Former or Grounding DINO (default: {DETECTOR})")
    look.add_argument("--clip", default=CLIP, help=f"names the colours (default: {CLIP})")
    look.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_loop_arguments(parser)


def run(args: argparse.Namespace, settings: Settings, runner: Runner) -> int:
    command.check_options(args, "samples")
    entries = read_metadata(args.metadata.read_bytes(), str(args.metadata)) if args.metadata else []
    if args.results:
        result = _figures(read_results(args.results.read_bytes(), str(args.results)), entries, args)
        result |= {"editor": "not known: read from a file", "grader": "as in the file"}
    elif args.images:
        if not args.output:
            raise BriefError("nothing says where judgements go", "give a folder", "-o")
        found = read_layout(args.images)
        result = _judged(args.images, limited(_same(entries, found) if entries else found, args.limit), args, settings)
        result |= filed_record(args.images)
    elif entries and args.output:
        entries = limited(entries, args.limit)
        runs, record = _drawn(entries, args, runner)
        if args.no_grade:
            _tell_how(args)
            return int(any(each.error for each in runs))
        result = _judged_if_possible(entries, record, args, settings)
    else:
        raise BriefError(
            "nothing says what to score", "give --results, --images, or --metadata and -o", "bench geneval"
        )
    command.write_json(args.json, result)
    print(table(result))
    return 0


def _same(asked: Sequence[Entry], found: Sequence[Entry]) -> Sequence[Entry]:
    """All that is asked for, once each folder that is there is known to hold the prompt of its number."""
    prompts = {entry.index: entry.prompt for entry in asked}
    for entry in found:
        if prompts.get(entry.index) != entry.prompt:
            raise BriefError(
                f"{entry.folder}/metadata.jsonl ({entry.prompt.prompt}) is not line {entry.index + 1} of the metadata",
                "give the file that the pictures were made from",
                "--metadata",
            )
    return asked


def _drawn(entries: Sequence[Entry], args: argparse.Namespace, runner: Runner) -> tuple[list[Run], dict[str, Any]]:
    """Every prompt through the loop, into the official layout; gives the runs, and who drew and what it cost."""
    by_case = {entry.folder: entry for entry in entries}

    def place(work: Work) -> str:
        write_metadata(args.output, by_case[work.case.id])
        return str(sample_path(by_case[work.case.id], work.seed - args.seed))

    seeds = range(args.seed, args.seed + args.samples)
    return command.draw([entry.case for entry in entries], seeds, place, args, runner, "pictures")


def _tell_how(args: argparse.Namespace) -> None:
    metadata, output = str(args.metadata.absolute()), str(args.output.absolute())
    words = ["--metadata", metadata, "--images", output, "-o", output, "--samples", str(args.samples)]
    command.tell_how("judge them", "geneval", words, args.limit)


def _judged_if_possible(
    entries: Sequence[Entry], record: dict[str, Any], args: argparse.Namespace, settings: Settings
) -> dict[str, Any]:
    if not (_folder(args.detector, settings) / "config.json").is_file():
        why = f"no detector in {_folder(args.detector, settings)}: judge with --images, or with evaluate_images.py"
        return {"benchmark": "geneval", **record, "grader": "none", "not_judged": why}
    return {**_judged(args.output, entries, args, settings), **record}


def _judged(folder: Path, entries: Sequence[Entry], args: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    from worker.bench.geneval.detectors import open_colours, open_detector

    detector = open_detector(_folder(args.detector, settings), args.device)
    colours = open_colours(_folder(args.clip, settings), args.device)
    samples = list(samples_of(folder, entries, args.samples))
    told = command.Teller("judged", len(samples))
    found = evaluate(samples, args.output, detector, colours, told)
    return judged_result(found, entries, args) | {"grader": f"{detector.name}; {colours.name}"}


def judged_result(found: Evaluation, entries: Sequence[Entry], args: argparse.Namespace) -> dict[str, Any]:
    """The figures of an evaluation, and its rows as `results.jsonl` in the output folder."""
    if not found.rows:
        why = [*found.broken, *(f"there is no {path}" for path in found.missing)]
        raise BriefError(f"not one picture could be judged: {why[0]}", "look at the folder", "--images")
    path = args.output / "results.jsonl"
    write_results(path, found.rows)
    lost = {"missing": list(found.missing), "broken": list(found.broken)}
    return _figures(found.rows, entries, args) | {"results": str(path), "unscored_pictures": lost}


def _figures(rows: Sequence[Row], entries: Sequence[Entry], args: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {"benchmark": "geneval", **scored(rows, entries, args.samples)}
    if args.control:
        other = read_results(args.control.read_bytes(), str(args.control))
        result["control"] = {"file": str(args.control), **compared(rows, other)}
    return result


def _folder(name: str, settings: Settings) -> Path:
    return Path(name) if Path(name).is_dir() else settings.weights / name


def table(result: dict[str, Any]) -> str:
    """The figures as text, with what they were measured on."""
    lines = [f"GenEval; editor: {result['editor']}; grader: {result['grader']}", *cost_lines(result)]
    if "not_judged" in result:
        return "\n".join([*lines, f"not judged: {result['not_judged']}"])
    lines.append(f"{'tag':<16}{'accuracy':>10}{'95 % interval':>20}{'pictures':>10}{'prompts':>9}")
    for tag, row in result["tags"].items():
        interval = interval_text(row["ci"], ".1%")
        share = f"{row['correct']}/{row['images']}"
        lines.append(f"{tag:<16}{row['accuracy']:>10.1%}{interval:>20}{share:>10}{row['prompts']:>9}")
    interval = interval_text(result["overall_ci"], ".3f")
    of = f"mean of {len(result['tags'])} of {len(TAGS)} tags"
    lines.append(f"overall {result['overall']:.5f} ({of}), 95 % interval {interval} (bootstrap over prompts)")
    lines.append(
        f"{result['images']} pictures, {result['images_correct']:.1%} correct; {result['prompts']} prompts, "
        f"{result['prompts_any_correct']:.1%} with one correct, {result['prompts_all_correct']:.1%} with all"
    )
    if result["tags_missing"]:
        lines.append(f"no pictures of {', '.join(result['tags_missing'])}: not the official overall")
    known = result["unscored"]
    lines.append("unscored: not known without --metadata" if known is None else f"unscored: {known} pictures")
    return "\n".join([*lines, *control_lines(result)])
