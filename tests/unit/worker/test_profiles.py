"""Profiles: what they say fits together, and fits the cards, computed from the models' configs."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from director.errors import BriefError
from tasks.settings import Settings, load_settings
from worker.checks.preflight import announced, cards_suffice, driver_suffices, of_machine, of_running, on_paper
from worker.cli import main
from worker.profiles import Machine, Profile, load_profile, names
from worker.profiles.budget import CUDA_CONTEXT, Part, budgets, memory_fraction
from worker.profiles.counts import Unknown, checkpoint, count, kv_bytes_per_token
from worker.profiles.servers import command
from worker.studio import editor_models

PUBLISHED = {
    # Parameters in thousand millions, as the model cards and papers give them.
    "Qwen3-VL-4B-Instruct": {"model": 4.44},
    "Qwen3-VL-8B-Instruct": {"model": 8.77},
    "Qwen3-VL-32B-Instruct": {"model": 33.4},
    "Qwen-Image": {"transformer": 20.4, "text_encoder": 8.29, "vae": 0.127},
    "Qwen-Image-2512": {"transformer": 20.4, "text_encoder": 8.29, "vae": 0.127},
    "Qwen-Image-Edit-2511": {"transformer": 20.4, "text_encoder": 8.29, "vae": 0.127},
    "FLUX.1-Krea-dev": {"transformer": 11.9, "text_encoder_2": 4.76, "text_encoder": 0.123, "vae": 0.084},
}
PARTS: dict[str, Any] = {
    "about": "a test",
    "boxes": {
        "here": {
            "gpus": [24.0],
            "memory": 64,
            "servers": [{"name": "vlm", "model": "Qwen3-VL-8B-Instruct", "served": "v", "port": 30001, "gpus": [0]}],
            "workers": [
                {"name": "thinker", "seats": ["planner", "judge", "verifier", "control"]},
                {"name": "editor-0", "seats": ["editor"], "gpu": 0},
            ],
        }
    },
}


def written(folder: Path, **changes: Any) -> str:
    """A profile file: PARTS with parts of its machine changed."""
    profile = {**PARTS, "boxes": {"here": {**PARTS["boxes"]["here"], **changes}}}
    path = folder / "mine.json"
    path.write_text(json.dumps(profile), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", names())
def test_every_profile_passes_a_dry_run(name: str, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--profile", name, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "queues" in printed
    assert "GiB, fits" in printed


def test_the_profiles_are_those_of_the_readme():
    assert set(names()) == {"sketch", "tiny", "one-24gb", "one-80gb", "paper", "cluster"}
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    assert [name for name in names() if f"| `{name}`" not in readme] == []


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_counts_are_the_published_ones(name: str):
    found = {part: counted.total / 1e9 for part, counted in checkpoint(name).counts().items()}
    assert found == pytest.approx(PUBLISHED[name], rel=0.03)


def test_what_nobody_knows_is_said():
    with pytest.raises(Unknown, match="none of the known checkpoints"):
        checkpoint("/nowhere/GPT-9")
    with pytest.raises(Unknown, match="architecture 'gpt'"):
        count({"model_type": "gpt"})


def test_weights_on_disk_speak_for_themselves(tmp_path: Path):
    folder = tmp_path / "Qwen3-VL-8B-Instruct"
    folder.mkdir()
    config = dict(checkpoint("Qwen3-VL-4B-Instruct").parts["model"])
    (folder / "config.json").write_text(json.dumps(config))
    assert checkpoint(str(folder)).counts()["model"].total == pytest.approx(4.44e9, rel=0.01)


def test_an_older_config_has_its_language_model_flat():
    config = dict(checkpoint("Qwen-Image").parts["text_encoder"])
    flat = {**config["text_config"], **{name: value for name, value in config.items() if name != "text_config"}}
    assert count(flat) == count(config)
    with pytest.raises(Unknown, match="qwen2_5_vl does not say 'vision_config'"):
        count(config["text_config"] | {"model_type": "qwen2_5_vl"})


def test_a_token_of_the_cache():
    # 36 layers, keys and values, 8 heads of 128 in two bytes.
    assert kv_bytes_per_token(checkpoint("Qwen3-VL-8B-Instruct").parts["model"]) == 36 * 2 * 8 * 128 * 2


def test_two_20b_transformers_do_not_fit_beside_a_vlm_in_bf16():
    profile = load_profile("one-80gb", Settings()).profile
    assert all(budget.fits for budget in budgets(profile))
    assert profile.editors
    wide = {name: config.model_copy(update={"quantize": "none"}) for name, config in profile.editors.pipelines.items()}
    editors = profile.editors.model_copy(update={"pipelines": wide})
    card, _ = budgets(profile.model_copy(update={"editors": editors}))
    assert not card.fits
    assert "DOES NOT FIT" in card.table()
    assert card.total > 100


@pytest.mark.parametrize("name", ["one-24gb", "one-80gb", "paper", "cluster"])
def test_shipped_profiles_have_no_plain_fp8_and_edit_inside_a_mask_by_compositing(name: str):
    editors = load_profile(name, Settings()).profile.editors
    assert editors
    assert {config.quantize for config in editors.pipelines.values()} <= {"none", "fp8-row"}
    assert {editor.inpaint for editor in editors.editors.values()} == {None}
    if name != "paper":
        drafts = {config.path.rpartition("/")[2]: config.draft for config in editors.pipelines.values()}
        assert {"Qwen-Image-2512", "Qwen-Image-Edit-2511"} & {path for path, draft in drafts.items() if draft}
        assert all(draft.steps == 4 and draft.cfg == 1 for draft in drafts.values() if draft)


def editing(*pipelines: dict[str, Any]) -> tuple[Part, ...]:
    """The parts of a card with an editor that draws and edits."""
    named = {task: pipeline for task, pipeline in zip(("generate", "edit"), pipelines, strict=False)}
    editors = {"pipelines": named, "editors": {"a": {task: task for task in named}}}
    workers = [{"name": "editor-0", "seats": ["editor"], "gpu": 0}]
    boxes = {"here": {"gpus": [500.0], "memory": 500, "workers": workers}}
    card, memory = budgets(Profile.model_validate({"about": "a test", "editors": editors, "boxes": boxes}))
    return (*card.parts, *memory.parts)


DRAW: dict[str, Any] = {"family": "qwen-image", "path": "Qwen-Image-2512"}
EDIT: dict[str, Any] = {"family": "qwen-image-edit-plus", "path": "Qwen-Image-Edit-2511"}


def of(parts: tuple[Part, ...], words: str) -> float:
    return sum(part.gib for part in parts if words in part.what)


def test_rows_of_fp8_keep_modulation_wide():
    """13.6 of the 20.4 thousand million weights are rounded; 6.8 modulate."""
    plain, rows, cast = (of(editing(DRAW | {"quantize": q}), "generate: ") for q in ("none", "fp8-row", "fp8"))
    assert (plain - rows) * 2**30 == pytest.approx(13.6e9, rel=0.01)
    assert (plain - cast) * 2**30 == pytest.approx(20.4e9, rel=0.01)


@pytest.mark.parametrize(
    ("offload", "shared"), [("none", True), ("encoders", True), ("stream", True), ("model", False)]
)
def test_one_text_encoder_is_counted_once_where_it_is_shared(offload: str, shared: bool):
    def total(**of_the_edit: str) -> float:
        parts = editing(DRAW | {"offload": offload}, EDIT | {"offload": offload} | of_the_edit)
        return sum(part.gib for part in parts if "is read" not in part.what)

    # A pipeline of another type can't share.
    encoder = checkpoint("Qwen-Image-2512").counts()["text_encoder"].total * 2 / 2**30
    assert encoder == pytest.approx(15.4, rel=0.01)
    assert total(dtype="float16") - total() == pytest.approx(encoder if shared else 0.0, abs=0.01)


def test_the_largest_size_that_a_job_may_ask_for_is_budgeted():
    """At 2048 x 2048 a batch of four is denoised whole; the autoencoder takes 1.2 megapixels at once."""
    assert of(editing(DRAW), "at work") == pytest.approx(16 * (2048 * 2048 / 256 + 1024) * 3072 * 4 * 2 / 2**30)
    assert of(editing(DRAW | {"max_batch": 1}), "at work") == pytest.approx(3.5 * 1.2)
    assert of(editing(DRAW | {"max_batch": 1, "final": {"area": 512 * 512}}), "at work") < 1.0


def test_a_lora_is_in_the_budget():
    with_it = DRAW | {"loras": {"fast": "nowhere.safetensors"}}
    assert of(editing(with_it), "LoRAs fast") == pytest.approx(0.8)


def test_an_unknown_part_of_a_pipeline_is_named(tmp_path: Path):
    folder = tmp_path / "mine"
    transformer = checkpoint("Qwen-Image").parts["transformer"]
    for part, config in {"transformer": transformer, "vae": {"_class_name": "NewVae"}}.items():
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps(dict(config)))
    (folder / "model_index.json").write_text("{}")
    with pytest.raises(
        Unknown, match="vae: nothing is known of the architecture 'NewVae', so that its memory can't be"
    ):
        editing(DRAW | {"path": str(folder)})


def test_a_smaller_card_is_refused(tmp_path: Path):
    opened = load_profile(written(tmp_path, gpus=[16.0]), Settings())
    assert [check.ok for check in on_paper(opened)] == [True, True, True, False, True]


def test_shards_share_weights_and_cache():
    one = load_profile("paper", Settings()).profile
    machine = one.boxes["here"]
    halves = budgets(one)[1].parts
    whole = machine.servers[1].model_copy(update={"gpus": (1,)})
    alone = one.model_copy(
        update={"boxes": {"here": machine.model_copy(update={"servers": (machine.servers[0], whole)})}}
    )
    assert [part.gib for part in budgets(alone)[1].parts[:1]] == pytest.approx([2 * halves[0].gib])


@pytest.mark.parametrize("name", ["one-24gb", "one-80gb", "paper", "cluster"])
def test_a_server_starts_again_beside_what_else_is_on_its_card(name: str):
    """SGLang takes its share of what is free: weights and cache must fit the share of the server's own part."""
    profile = load_profile(name, Settings()).profile
    for machine in profile.boxes.values():
        for server in machine.servers:
            alone = machine.model_copy(update={"servers": (server,), "workers": ()})
            budget = budgets(profile.model_copy(update={"boxes": {"b": alone}}))[server.gpus[0]]
            weights, cache, _ = budget.parts
            free = budget.total - CUDA_CONTEXT
            assert weights.gib + cache.gib < memory_fraction(server) * free < free


def test_the_server_is_told_what_the_budget_says():
    machine = load_profile("paper", Settings()).profile.boxes["here"]
    words = command(machine.servers[1], Settings())
    assert words[:3] == ["env", "HF_HUB_OFFLINE=1", "CUDA_VISIBLE_DEVICES=1,2"]
    flags = dict(pairwise(words))
    assert flags["--tp-size"] == "2"
    assert 0.9 < float(flags["--mem-fraction-static"]) < 0.97
    assert "SGLANG_VLM_CACHE_SIZE_MB=256" in words
    assert flags["--max-total-tokens"] == "131072"
    assert "--constrained-json-disable-any-whitespace" in words


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gpus": [24.0], "servers": [{**PARTS["boxes"]["here"]["servers"][0], "gpus": [1]}]}, "no GPU 1"),
        ({"servers": [PARTS["boxes"]["here"]["servers"][0]] * 2}, "same name"),
        ({"workers": [{"name": "editor-0", "seats": ["editor"], "concurrency": 2}]}, "one process a GPU"),
        ({"workers": [{"name": f"e{n}", "seats": ["editor"], "gpu": 0} for n in range(2)]}, "own the same GPU"),
        ({"workers": [{"name": "x", "seats": ["painter"]}]}, "seats.0"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_profile_that_does_not_fit_together_is_refused(tmp_path: Path, changes: dict[str, Any], says: str):
    with pytest.raises(BriefError, match=says):
        load_profile(written(tmp_path, **changes), Settings())


def test_a_profile_that_is_not_there_names_those_that_are(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["doctor", "--profile", "huge", "--dry-run"]) == 2
    assert "cluster, one-24gb, one-80gb, paper, sketch, tiny" in capsys.readouterr().err
    with pytest.raises(BriefError, match="no file"):
        load_profile(str(tmp_path / "mine.json"), Settings())
    path = tmp_path / "mine.json"
    path.write_text('{"about": "${SECRET}"}')
    with pytest.raises(BriefError, match="WEIGHTS, VLM_HOST and TINY"):
        load_profile(str(path), Settings())


def test_seats_and_models_that_nobody_serves_are_named(tmp_path: Path):
    opened = load_profile(written(tmp_path, workers=[{"name": "thinker", "seats": ["planner", "judge"]}]), Settings())
    queues = next(check for check in on_paper(opened) if check.name == "queues")
    assert (queues.ok, queues.found) == (False, "no worker serves control, editor, verifier")


def test_a_seat_that_asks_for_another_name_is_found(tmp_path: Path):
    seat = {"url": "http://127.0.0.1:30001/v1", "model": "other"}
    vlm = {"planner": seat, "judge": seat, "verifier": seat}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**PARTS, "vlm": vlm}))
    endpoints = next(check for check in on_paper(load_profile(str(path), Settings())) if check.name == "endpoints")
    assert (endpoints.ok, endpoints.found) == (False, "planner asks for 'other', and vlm serves 'v'")


def test_a_deadline_past_the_limit_of_a_step_is_found(tmp_path: Path):
    seat = {"url": "http://127.0.0.1:30001/v1", "model": "v"}
    slow = seat | {"deadline_s": 200}
    text = {**PARTS, "vlm": {"planner": seat, "judge": seat, "verifier": slow}}
    path = tmp_path / "mine.json"
    for limits, ok in (({}, False), ({"verify": 300}, True)):
        path.write_text(json.dumps(text | {"max_step_s": limits}))
        endpoints = next(check for check in on_paper(load_profile(str(path), Settings())) if check.name == "endpoints")
        assert endpoints.ok is ok, endpoints.found
    path.write_text(json.dumps(text | {"max_step_s": {"paint": 1}}))
    with pytest.raises(BriefError, match="no step kind 'paint'"):
        load_profile(str(path), Settings())


def test_a_profile_brings_its_limits_unless_the_environment_has_some():
    opened = load_profile("one-24gb", Settings())
    assert load_settings(**opened.settings({})).max_step_s["render"] == 3600
    assert opened.settings({"VISIONDIRECTOR_MAX_STEP_S": "{}"}) == {"studio": "one-24gb"}


def test_a_model_server_that_is_away_is_a_line_and_no_crash():
    opened = load_profile("one-80gb", Settings())
    away = [check for check in of_running(opened, Settings(ledger_url="redis://127.0.0.1:1/0")) if not check.ok]
    assert [check.name for check in away] == ["server", "clock"]
    assert "start the server" in away[0].found


def test_a_box_is_named_where_there_are_several(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor", "--profile", "cluster"]) == 2
    assert "door, vlm, editors" in capsys.readouterr().err
    assert main(["start", "--profile", "cluster", "--box", "cellar"]) == 2
    assert "cellar" in capsys.readouterr().err
    assert main(["start"]) == 2


def test_nothing_is_started_on_a_machine_without_the_cards(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    machine = Machine.model_validate({**PARTS["boxes"]["here"], "memory": 10_000.0})
    opened = load_profile(written(tmp_path), Settings())
    missing = {check.name: check.found for check in of_machine(opened, machine, Settings()) if not check.ok}
    assert "the profile needs 10000" in missing["memory"]
    assert "no weights" in missing["weights"]
    real = load_profile("one-80gb", Settings())
    checks = of_machine(real, real.profile.boxes["here"], Settings(sglang_python=Path(sys.executable)))
    missing = {check.name: check.found for check in checks if not check.ok}
    assert "can't use the cards" in missing["cuda"]
    assert "has no SGLang" in missing["sglang"]
    assert "set CUDA_HOME" in missing["nvcc"]
    assert main(["start", "--profile", written(tmp_path, memory=10_000.0)]) == 1
    captured = capsys.readouterr()
    assert "nothing was started" in captured.err
    assert "FAIL  memory" in captured.out


def test_a_download_that_ended_early_is_found(tmp_path: Path):
    folder = tmp_path / "Qwen-Image-2512"
    settings = Settings(weights=tmp_path)
    opened = load_profile("one-80gb", settings)
    machine = opened.profile.boxes["here"]

    def said() -> str:
        return next(check.found for check in of_machine(opened, machine, settings) if str(folder) + " " in check.found)

    (folder / "vae").mkdir(parents=True)
    (folder / "vae" / "weights.safetensors").touch()
    parts = {"_class_name": "QwenImagePipeline", "vae": ["diffusers", "V"], "transformer": ["diffusers", "T"]}
    (folder / "model_index.json").write_text(json.dumps(parts | {"image_encoder": [None, None]}))
    assert "lacks transformer/: download Qwen/Qwen-Image-2512 again" in said()
    (folder / "transformer").mkdir()
    shards = {"weight_map": {"a": "one-of-2.safetensors", "b": "two-of-2.safetensors"}}
    (folder / "transformer" / "model.safetensors.index.json").write_text(json.dumps(shards))
    (folder / "transformer" / "one-of-2.safetensors").touch()
    assert "lacks transformer/two-of-2.safetensors" in said()


def test_a_lora_that_is_not_there_is_named(tmp_path: Path):
    fast = {"family": "qwen-image", "path": "Qwen-Image", "loras": {"fast": str(tmp_path / "fast.safetensors")}}
    editors = {"pipelines": {"fast": fast}, "editors": {"qwen": {"generate": "fast"}}}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**PARTS, "editors": editors}))
    opened = load_profile(str(path), Settings())
    missing = [check.found for check in of_machine(opened, opened.profile.boxes["here"], Settings()) if not check.ok]
    assert f"there is no {tmp_path / 'fast.safetensors'}: download it, or mend `loras`" in missing


def test_cards_as_nvidia_smi_lists_them():
    listed = "NVIDIA H100 80GB HBM3, 81559, 4\nNVIDIA H100 80GB HBM3, 81559, 61440\n"
    assert cards_suffice([79.1], listed) == "NVIDIA H100 80GB HBM3 with 79.6 GiB, 0.0 in use"
    with pytest.raises(ValueError, match="wants 3 GPUs"):
        cards_suffice([79.1] * 3, listed)
    with pytest.raises(ValueError, match=r"has 79.6 GiB: the profile wants 140"):
        cards_suffice([140], listed)


def test_an_old_driver_and_a_card_without_fp8_are_refused():
    assert driver_suffices("580.65.06, 9.0\n580.65.06, 8.0\n", fp8=[0]) == "driver 580.65.06"
    with pytest.raises(ValueError, match=r"the driver 570.172.08 is too old for CUDA 13: install 580 or newer"):
        driver_suffices("570.172.08, 9.0\n", fp8=[])
    with pytest.raises(ValueError, match=r"GPU 1 has compute capability 8.6, and `quantize: fp8-row` needs 8.9"):
        driver_suffices("580.65.06, 9.0\n580.65.06, 8.6\n", fp8=[0, 1])


def test_what_will_be_looked_for_is_said():
    opened = load_profile("one-80gb", Settings(weights=Path("/data")))
    said = [check.found for check in announced(opened, opened.profile.boxes["here"])]
    assert "will look for /data/Qwen-Image-Edit-2511 (weights of Qwen/Qwen-Image-Edit-2511)" in said
    assert "will look for 1 with 79.1 GiB or more" in said
    assert any(line.startswith("FLUX.1-Krea-dev: FLUX.1 [dev] Non-Commercial") for line in said)
    assert "Qwen3-VL-8B-Instruct-FP8, Qwen-Image-2512, Qwen-Image-Edit-2511: Apache-2.0" in said


def test_a_profile_names_the_queues_of_its_editors():
    assert editor_models(Settings(studio="one-24gb")) == ("flux-krea", "flux-krea.draft")
    assert editor_models(Settings(studio="one-80gb", editors=("qwen-image",))) == ("qwen-image",)
    assert "perfect" in editor_models(Settings(studio="sketch"))
