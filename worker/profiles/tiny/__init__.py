"""Tiny random checkpoints of the real architectures, made from code without a network: for tests and dry runs.

Weights are random: pictures are noise and replies mean nothing. They lie in a cache, under a name that changes with
the recipe.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

VLM = "qwen3-vl"
_RECIPES: Mapping[str, str] = {
    **dict.fromkeys(("qwen-image", "qwen-image-edit", "flux", "lora"), "pipelines.py"),
    VLM: "qwen3vl.py",
}


def folder(name: str, cache: Path) -> Path:
    """Where the checkpoint lies once it is made. Raises KeyError for a name that has no recipe."""
    recipe = (files("worker.profiles.tiny") / _RECIPES[name]).read_bytes()
    return cache / f"tiny-{name}-{hashlib.sha256(recipe).hexdigest()[:12]}"


def make(name: str, cache: Path, sglang_python: Path) -> Path:
    """The checkpoint's folder, made when it is not in the cache.

    The VLM is saved by the libraries of SGLang's environment, which reads it.
    """
    there = folder(name, cache)
    if there.exists():
        return there
    cache.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=cache, prefix="."))
    try:
        if name == VLM:
            _run_recipe(fresh, sglang_python)
        else:
            from worker.profiles.tiny.pipelines import write

            write(name, fresh)
        fresh.rename(there)
    except OSError:  # another process may have been faster
        if not there.exists():
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return there


def _run_recipe(out: Path, python: Path) -> None:
    if not python.exists():
        raise FileNotFoundError(f"there is no {python}: run `make setup-sglang`")
    recipe = Path(__file__).with_name(_RECIPES[VLM])
    done = subprocess.run([python, recipe, out], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{recipe.name} could not make a tiny VLM: {done.stderr.strip()[-1000:]}")
