"""What the doctor says of weights on the disk. Each file is a real one, spoilt in one way."""

import json
from pathlib import Path

import pytest

from worker.checks.weights import lora_on_disk, on_disk, types_of
from worker.profiles.counts import Unknown, checkpoint


def safetensors(kind: str = "BF16", values: int = 64) -> bytes:
    """A file of one tensor, as the format says: the header's length, the header, the values."""
    size = values * (1 if kind.startswith(("F8", "I8")) else 2)
    tensor = {"dtype": kind, "shape": [values], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4967215360\n"


def checkpoint_of(folder: Path, weights: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "x"}')
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_whole_weights_are_taken(tmp_path: Path):
    assert on_disk(checkpoint_of(tmp_path / "a", safetensors()), "a/b").startswith(str(tmp_path / "a"))
    assert types_of(tmp_path / "a" / "model.safetensors") == {"BF16"}


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (safetensors()[:-10], "model.safetensors is cut: it has"),
        (safetensors()[:40], "model.safetensors is cut"),
        (safetensors() + b"more", "is cut: it has"),
        (POINTER, "model.safetensors is a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "model.safetensors is a web page"),
        (b"\n<html>", "is a web page"),
        (b"", "model.safetensors is empty"),
        (b"PK\x03\x04" + bytes(200), "no safetensors file"),
    ],
)
def test_weights_that_are_none_are_refused(tmp_path: Path, weights: bytes, says: str):
    with pytest.raises(ValueError, match=says) as refused:
        on_disk(checkpoint_of(tmp_path / "a", weights), "a/b")
    assert "delete it and download a/b again" in str(refused.value)
    with pytest.raises(ValueError, match=says):
        lora_on_disk(tmp_path / "a" / "model.safetensors")


def test_a_tokenizer_may_be_a_pointer_too(tmp_path: Path):
    folder = checkpoint_of(tmp_path / "a", safetensors())
    (folder / "tokenizer.json").write_bytes(POINTER)
    with pytest.raises(ValueError, match=r"tokenizer.json is a Git LFS pointer"):
        on_disk(folder, "a/b")


@pytest.mark.parametrize("name", ["config.json", "model_index.json", "tokenizer.json"])
def test_a_web_page_in_place_of_any_file_is_found_and_stops_no_doctor(tmp_path: Path, name: str):
    folder = checkpoint_of(tmp_path / "Qwen-Image", safetensors())
    (folder / name).write_bytes(b"<!DOCTYPE html><html>" + b"Sign in. " * 2000)
    with pytest.raises(ValueError, match=rf"{name} is a web page: delete it and download a/b again"):
        on_disk(folder, "a/b")
    if name == "config.json":
        with pytest.raises(Unknown, match=r"config.json is no JSON"):
            checkpoint(str(folder))


@pytest.mark.parametrize(
    ("kind", "stored", "says"),
    [
        ("BF16", "fp8", "has no tensor of FP8"),
        ("F8_E4M3", "wide", "has tensors of F8_E4M3: 16 or 32 bits are wanted"),
        ("I8", "wide", "another way of quantising"),
    ],
)
def test_weights_of_another_type_are_refused(tmp_path: Path, kind: str, stored: str, says: str):
    with pytest.raises(ValueError, match=says):
        on_disk(checkpoint_of(tmp_path / "a", safetensors(kind)), "a/b", stored)


def test_fp8_weights_are_taken_where_the_profile_says_so(tmp_path: Path):
    assert on_disk(checkpoint_of(tmp_path / "a", safetensors("F8_E4M3")), "a/b", "fp8")
