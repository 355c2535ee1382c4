"""Editors load each pipeline once, share weights, free them, and say what is missing."""

import gc
import shutil
import weakref
from pathlib import Path

import pytest

from director.errors import Actor
from tests.models.conftest import apart, asked, make, noise, pipelines_of, rendered, stored
from tests.models.test_editors import REGION, Open, edit, inpaint, qwen
from tests.support.contexts import RecordingContext
from worker.diffusion.failures import Unusable


def test_pipelines_load_when_needed_once_and_share_their_weights(opened: Open, context: RecordingContext):
    editor = opened(
        generate=qwen(), edit=edit(final={"steps": 2, "cfg": 1}), inpaint=inpaint(final={"steps": 2, "cfg": 1})
    )
    shelf = pipelines_of(editor)
    assert shelf._loaded == {}
    rendered(editor, asked(), context)
    assert list(shelf._loaded) == ["generate"]
    first = shelf["generate"].pipe
    rendered(editor, asked(), context)
    assert shelf["generate"].pipe is first
    base = stored(context, noise((64, 64)))
    one = rendered(editor, asked(seeds=(1,), base=base), context)
    rendered(editor, asked(seeds=(1,), base=base, region=REGION), context)
    assert shelf["edit"].pipe.transformer is shelf["inpaint"].pipe.transformer
    assert shelf["edit"].pipe.scheduler is not shelf["inpaint"].pipe.scheduler
    assert apart(one[0], rendered(editor, asked(seeds=(1,), base=base), context)[0]) == 0


def test_closing_frees_the_weights(context: RecordingContext):
    from contextlib import ExitStack

    from tests.models.conftest import tiny
    from worker.diffusion.editor import open_editor

    with ExitStack() as resources:
        editor = open_editor(tiny(generate=qwen()), resources)
        rendered(editor, asked(), context)
        transformer = weakref.ref(pipelines_of(editor)["generate"].pipe.transformer)
    gc.collect()
    assert transformer() is None


def test_a_missing_checkpoint_is_not_looked_for_elsewhere(opened: Open, context: RecordingContext, tmp_path: Path):
    editor = opened(generate={"family": "flux", "path": str(tmp_path / "nowhere")})
    with pytest.raises(Unusable, match="nowhere") as missing:
        editor.render(asked(), context)
    assert (missing.value.actor, missing.value.resource) == (Actor.OPERATOR, f"the checkpoint {tmp_path / 'nowhere'}")


def test_weights_that_were_cut_are_the_operators_matter(opened: Open, context: RecordingContext, tmp_path: Path):
    path = tmp_path / "cut"
    shutil.copytree(make("flux"), path)
    for file in (path / "transformer").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(Unusable, match="cut"):
        opened(generate={"family": "flux", "path": str(path)}).render(asked(), context)


def test_a_lora_that_is_not_there_is_the_operators_matter(opened: Open, context: RecordingContext, tmp_path: Path):
    missing = tmp_path / "fast.safetensors"
    with pytest.raises(Unusable, match=r"the LoRA .*fast"):
        opened(generate=qwen(loras={"fast": missing}, final={"steps": 2, "loras": {"fast": 1.0}})).render(
            asked(), context
        )
