"""Whose matter it is when the diffusers editor can't work. No torch: tests/models has cut weights and the like."""

import errno
import pickle
from contextlib import ExitStack

import pytest

from director.errors import Actor, BriefError, Cancelled, EditorError, StoreError, boundary
from director.seats import RenderRequest
from tests.support.contexts import RecordingContext, plain_png
from tests.unit.worker.test_editor_settings import configs
from worker.diffusion.editor import open_editor
from worker.diffusion.failures import Unusable, operators_matter

ROWS = [
    # what is raised, while files are read, who has to act, a word of the fix
    (OSError(errno.ENOSPC, "No space left on device"), False, "operator", "disk"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), False, "operator", "disk"),
    (OSError(errno.EROFS, "Read-only file system"), False, "operator", "disk"),
    (RuntimeError("InductorError: OSError: [Errno 28] No space left on device"), False, "operator", "disk"),
    (RuntimeError("Found no NVIDIA driver on your system."), False, "operator", "driver"),
    (RuntimeError("The NVIDIA driver on your system is too old (found version 11040)."), False, "operator", "driver"),
    (RuntimeError("No CUDA GPUs are available"), True, "operator", "driver"),
    (RuntimeError("CUDA error: no CUDA-capable device is detected"), False, "operator", "driver"),
    (RuntimeError("CUDA error: invalid device ordinal"), True, "operator", "driver"),
    (AssertionError("Torch not compiled with CUDA enabled"), False, "operator", "driver"),
    (ImportError("the diffusers editor needs the extra `models`: make setup-models"), False, "operator", "install"),
    (OSError("no file named diffusion_pytorch_model.safetensors found in /models/x"), True, "operator", "weights"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "/models/x"), True, "operator", "weights"),
    (ValueError("/models/x is no folder"), True, "operator", "weights"),
    (KeyError("lightning"), True, "operator", "weights"),
    (EOFError("Ran out of input"), True, "operator", "weights"),
    (pickle.UnpicklingError("invalid load key"), True, "operator", "weights"),
    (RuntimeError("Error(s) in loading state_dict for T5: size mismatch"), True, "operator", "weights"),
    (AttributeError("module diffusers has no attribute X"), True, "operator", "weights"),
    (RuntimeError("CUDA error: an illegal memory access was encountered"), True, "seat", ""),
    (RuntimeError("CUDA error: uncorrectable ECC error encountered"), False, "seat", ""),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True, "seat", ""),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True, "seat", ""),
    (RuntimeError("an illegal instruction"), False, "seat", ""),
    (ValueError("pixels that are no numbers"), False, "seat", ""),
    (OSError(errno.EPIPE, "Broken pipe"), False, "seat", ""),
    (MemoryError("one picture does not fit"), False, "seat", ""),
    (MemoryError(), True, "seat", ""),
]


@pytest.mark.parametrize(("error", "reading", "actor", "word"), ROWS, ids=lambda value: str(value)[:40])
def test_a_fault_of_the_editor_says_who_has_to_act(error: Exception, reading: bool, actor: str, word: str):
    with (
        pytest.raises(EditorError) as failure,
        boundary(EditorError),
        operators_matter("the checkpoint /models/x", reading),
    ):
        raise error
    assert failure.value.actor is Actor(actor)
    assert failure.value.resource == ("the checkpoint /models/x" if actor == "operator" else "")
    assert word in failure.value.fix
    assert str(error)[:20] in failure.value.message


@pytest.mark.parametrize("error", [BriefError("too long"), StoreError("S3 is away"), Cancelled("asked")])
def test_what_is_classified_passes(error: Exception):
    with pytest.raises(type(error)) as passed, operators_matter("x", reading=True):
        raise error
    assert passed.value is error


@pytest.mark.parametrize(
    ("model", "based", "said"),
    [("dream", False, "no editor 'dream': there are only"), ("only", True, "no pipeline to edit with")],
)
def test_an_editor_that_is_not_configured_is_the_operators(model: str, based: bool, said: str):
    context = RecordingContext()
    action = {"kind": "generate", "instruction": "a cup", "targets": ["a"]}
    asked = {"model": model, "action": action, "seeds": [1], "width": 64, "height": 64}
    base = context.images.put(plain_png("red")) if based else None
    request = RenderRequest.model_validate(asked | {"base": base})
    with ExitStack() as resources:
        editor = open_editor(configs(only={"generate": "draw"}), resources)
        with pytest.raises(Unusable, match=said) as failure:
            editor.render(request, context)
    assert (failure.value.actor, failure.value.resource) == (Actor.OPERATOR, f"the editor {model}")
    assert failure.value.fix
