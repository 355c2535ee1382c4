"""Whether the files of a checkpoint are what their names say: whole, no pointer, no web page, of a type that fits."""

import json
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from worker.profiles.budget import GIB

_WIDE = frozenset({"F64", "F32", "F16", "BF16"})
_NARROW = frozenset({"F8_E4M3", "F8_E5M2"})
_POINTER = b"version https://git-lfs"
_HEADER_LIMIT = 100_000_000  # bytes, as in safetensors
_ZIP = b"PK\x03\x04"  # torch's own format under the wrong name
_START = 64  # bytes that tell a file's kind


def on_disk(folder: Path, repository: str, stored: str = "wide") -> str:
    """What lies there. `stored`: wide, or fp8 where blocks must be in 8 bits. Raises ValueError with what to mend."""
    files = sorted(folder.rglob("*.safetensors")) if folder.is_dir() else []
    if not files:
        raise ValueError(f"{folder} has no weights: download {repository} into it")
    if partial := next(folder.rglob("*.incomplete"), None):
        raise ValueError(f"{folder}: the download has not ended ({partial.name})")
    if not any((folder / name).is_file() for name in ("config.json", "model_index.json")):
        raise ValueError(f"{folder} has neither config.json nor model_index.json: download {repository} again")
    if broken := next(_no_files(folder), None):
        raise ValueError(f"{folder}: {broken}: delete it and download {repository} again")
    if missing := next(_not_there(folder), None):
        raise ValueError(f"{folder} lacks {missing}: download {repository} again, it goes on where it ended")
    if broken := next(_broken(folder, files), None):
        raise ValueError(f"{folder}: {broken}: delete it and download {repository} again")
    _right_types(folder, {kind for file in files for kind in types_of(file)}, repository, stored)
    return f"{folder}, {sum(file.stat().st_size for file in files) / GIB:.1f} GiB"


def lora_on_disk(file: Path) -> str:
    """The LoRA's file. Raises ValueError that says what to mend."""
    if not file.is_file():
        raise ValueError(f"there is no {file}: download it, or mend `loras`")
    if broken := next(chain(_no_files(file.parent, file.name), _broken(file.parent, [file])), None):
        raise ValueError(f"{broken} in {file.parent}: delete it and download it again")
    return str(file)


def _no_files(folder: Path, name: str = "*") -> Iterator[str]:
    """Pointers and web pages among all files: a tokenizer or a config is one as easily as weights."""
    for file in sorted(each for each in folder.rglob(name) if each.is_file()):
        with file.open("rb") as opened:
            start = opened.read(_START)
        if start.startswith(_POINTER):
            yield f"{file.relative_to(folder)} is a Git LFS pointer and not the file itself"
        elif file.suffix == ".json" and start.lstrip().startswith(b"<"):
            yield f"{file.relative_to(folder)} is a web page"


def _not_there(folder: Path) -> Iterator[str]:
    """What is missing of the parts that a pipeline lists, and of the files that an index of weights names."""
    if (whole := folder / "model_index.json").is_file():
        listed: dict[str, Any] = json.loads(whole.read_text(encoding="utf-8"))
        parts = [name for name, kind in listed.items() if isinstance(kind, list) and kind[0]]
        yield from (f"{name}/" for name in parts if not (folder / name).is_dir())
    for index in sorted(folder.rglob("*.safetensors.index.json")):
        shards: dict[str, str] = json.loads(index.read_text(encoding="utf-8")).get("weight_map", {})
        for shard in sorted(set(shards.values())):
            if not (index.parent / shard).is_file():
                yield str((index.parent / shard).relative_to(folder))


def _broken(folder: Path, weights: Collection[Path]) -> Iterator[str]:
    for file in weights:
        try:
            types_of(file)
        except ValueError as error:
            yield f"{file.relative_to(folder)} {error}"


def types_of(file: Path) -> frozenset[str]:
    """The types of a safetensors file's tensors, by its header. Raises ValueError for a file that is no whole one."""
    size = file.stat().st_size
    if size == 0:
        raise ValueError("is empty")
    with file.open("rb") as opened:
        length = int.from_bytes(start := opened.read(8), "little")
        if start.lstrip()[:1] == b"<":
            raise ValueError("is a web page")
        if length > _HEADER_LIMIT or start.startswith(_ZIP):
            raise ValueError("is no safetensors file")
        header = opened.read(length)
    try:
        tensors: dict[str, Any] = json.loads(header)
        tensors.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
        types = frozenset(str(tensor["dtype"]) for tensor in tensors.values())
    except (ValueError, TypeError, LookupError, AttributeError):
        raise ValueError("is cut" if len(header) < length else "is no safetensors file") from None
    if size != 8 + length + end:
        raise ValueError(f"is cut: it has {size} bytes of {8 + length + end}")
    return types


def _right_types(folder: Path, types: Collection[str], repository: str, stored: str) -> None:
    """Integers, as positions and ids are, may lie in any checkpoint."""
    narrow = sorted(_NARROW.intersection(types))
    if stored == "fp8" and not narrow:
        raise ValueError(f"{folder} has no tensor of FP8, and the profile says so: set `weights`, or get {repository}")
    if stored == "wide" and narrow:
        raise ValueError(
            f"{folder} has tensors of {', '.join(narrow)}: 16 or 32 bits are wanted, as {repository or 'its maker'} has"
        )
    if types and not (_WIDE | _NARROW).intersection(types):
        raise ValueError(f"{folder} has tensors of {', '.join(sorted(types))} only: another way of quantising")
