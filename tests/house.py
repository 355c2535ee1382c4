"""What `make check` holds the house to, beside the linters: sizes, complexity, and a director that is pure.

    python -m tests.house

Complexity is McCabe's, with comprehensions and boolean operators counted (radon).
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from radon.complexity import cc_visit

ROOMS = ("director", "tasks", "worker", "api", "infra")
MOST_LINES_OF_A_FILE = 500
MOST_LINES_OF_A_FUNCTION = 60
MOST_COMPLEXITY = 15

DIRECTOR_MAY_IMPORT = {
    "base64", "collections", "contextlib", "dataclasses", "datetime", "difflib", "enum", "functools", "hashlib", "html",
    "bisect", "itertools", "json", "math", "operator", "re", "statistics", "string", "types", "typing", "unicodedata",
    "importlib.resources",  # its own templates, which are code that happens to be text
    "pydantic", "director",
}  # fmt: skip
"""Nothing that opens a file, reads a clock, rolls dice or starts a process: a fold depends on its arguments alone."""
DIRECTOR_MAY_NOT_CALL = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
DIRECTOR_MAY_NOT_NAME = {"now", "utcnow", "today", "read_file", "write_text", "write_bytes"}


def complaints(root: Path) -> Iterator[str]:
    """One line for each thing that is not as it should be."""
    for room in (*ROOMS, "tests"):
        for path in sorted((root / room).rglob("*.py")):
            source, name = path.read_text(encoding="utf-8"), str(path.relative_to(root))
            tree = ast.parse(source)
            yield from _sizes(name, source, tree)
            if room != "tests":  # radon counts each assert as a branch
                yield from _complexities(name, source)
            if room == "director":
                yield from _impurities(name, tree)


def _sizes(name: str, source: str, tree: ast.AST) -> Iterator[str]:
    if (lines := source.count("\n")) > MOST_LINES_OF_A_FILE:
        yield f"{name}: {lines} lines; a file has at most {MOST_LINES_OF_A_FILE}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                most = MOST_LINES_OF_A_FUNCTION
                yield f"{name}:{node.lineno}: {node.name} has {lines} lines; a function has at most {most}"


def _complexities(name: str, source: str) -> Iterator[str]:
    for block in cc_visit(source):
        if block.letter != "C" and block.complexity > MOST_COMPLEXITY:
            function = f"{name}:{block.lineno}: {block.fullname}"
            yield f"{function} has complexity {block.complexity}; at most {MOST_COMPLEXITY} is allowed"


def _impurities(name: str, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module)):
                imported = [module]
            case ast.Call(func=ast.Name(id=called)) if called in DIRECTOR_MAY_NOT_CALL:
                yield f"{name}:{node.lineno}: director may not call {called}()"
                continue
            case ast.Attribute(attr=attribute) if attribute in DIRECTOR_MAY_NOT_NAME:
                yield f"{name}:{node.lineno}: director may not use .{attribute}"
                continue
            case _:
                continue
        for module in imported:
            if not {module, module.partition(".")[0]} & DIRECTOR_MAY_IMPORT:
                yield f"{name}:{node.lineno}: director may not import {module}"


def main() -> int:
    found = list(complaints(Path(__file__).resolve().parents[1]))
    print("\n".join(found) or "the house is in order: sizes, complexity, a pure director")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
