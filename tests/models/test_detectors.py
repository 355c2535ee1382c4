"""GenEval's detectors on transformers: what is made of logits, by hand; and whole models, tiny and random."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from director.errors import BriefError
from worker.bench.geneval.detectors import cut_out, instances, on_picture, open_colours, open_detector
from worker.bench.geneval.scoring import CLASSES, COLOURS, Detection
from worker.diffusion.loading import import_torchvision, torch


def png(width: int = 96, height: int = 64, colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


# --- logits, by hand ------------------------------------------------------------------------------


def test_an_instance_is_its_class_times_its_outline():
    t = torch()
    classes = t.full((2, 4), -20.0)  # three classes and none
    classes[0, 1] = 0.0
    classes[0, 3] = 0.0  # query 0: half class 1, half nothing
    classes[1, 2] = 20.0  # query 1: class 2, surely
    masks = t.full((2, 6, 8), -5.0)
    masks[0, 1:4, 2:7] = 0.0 + 1e-4  # barely inside: probability one half
    masks[1, 5, 7] = 20.0
    found = [(label, d) for label, d in instances(classes, masks) if d.score > 0.01]
    assert [label for label, _ in found] == [2, 1]
    last, half = found[0][1], found[1][1]
    assert (last.x0, last.y0, last.x1, last.y1) == (7, 5, 8, 6)  # one pixel is one pixel wide
    assert last.score == pytest.approx(1.0, abs=1e-4)
    assert (half.x0, half.y0, half.x1, half.y1) == (2, 1, 7, 4)
    assert half.score == pytest.approx(0.5 * 0.5, abs=1e-3)
    assert half.mask.sum() == 15


def test_an_outline_that_holds_nothing_is_no_instance():
    t = torch()
    assert list(instances(t.tensor([[9.0, 0.0]]), t.full((1, 4, 4), -1.0))) == []


def test_padding_is_cut_before_the_outline_is_laid_over_the_picture():
    t = torch()
    valid = t.zeros(8, 8)
    valid[:4, :8] = 1  # the picture fills the upper half of the input
    small = t.full((1, 8, 8), -1.0)
    small[0, :4, :4] = 1.0  # the left half of the picture
    small[0, 4:, :] = 1.0  # what lies in the padding
    over = on_picture(small, valid, (16, 8))  # twice as large: 16 wide, 8 high
    assert over.shape == (1, 8, 16)
    inside = (over[0] > 0).numpy()
    assert inside[:, :8].all()
    assert not inside[:, 8:].any()


# --- whole models ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_torchvision()
    import transformers

    folder = tmp_path_factory.mktemp("mask2former")
    torch().manual_seed(0)
    backbone = transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, hidden_dim=32, feature_size=32, mask_feature_size=32, encoder_layers=1,
        decoder_layers=2, num_attention_heads=2, dim_feedforward=16, encoder_feedforward_dim=16, num_queries=5,
        num_labels=len(CLASSES),
    )  # fmt: skip
    transformers.Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    size = {"shortest_edge": 64, "longest_edge": 96}
    transformers.Mask2FormerImageProcessor(size=size, size_divisor=32, num_labels=len(CLASSES)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_torchvision()
    import transformers

    folder = tmp_path_factory.mktemp("clip")
    torch().manual_seed(0)
    words = ["<|startoftext|>", "<|endoftext|>", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz")]
    words += [letter for letter in "abcdefghijklmnopqrstuvwxyz-"]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    small: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = transformers.CLIPConfig(
        text_config={**small, "vocab_size": len(words), "max_position_embeddings": 77, "eos_token_id": 1},
        vision_config={**small, "image_size": 32, "patch_size": 16}, projection_dim=8,
    )  # fmt: skip
    transformers.CLIPModel(config).save_pretrained(folder)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def grounding_dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_torchvision()
    import transformers

    folder = tmp_path_factory.mktemp("grounding-dino")
    torch().manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "cup", "dog"]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    backbone = transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config = transformers.GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2, num_queries=6,
    )  # fmt: skip
    transformers.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = transformers.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    transformers.GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def test_mask2former_finds_boxes_inside_the_picture(mask2former: Path):
    detector = open_detector(mask2former)
    assert "Mask2Former" in detector.name
    found = detector.detect(png(), CLASSES)
    assert found
    for name, objects in found.items():
        assert name in CLASSES
        for each in objects:
            assert 0 <= each.x0 < each.x1 <= 96
            assert 0 <= each.y0 < each.y1 <= 64
            assert 0 < each.score < 1
            assert each.mask.shape == (64, 96)
    again = detector.detect(png(), CLASSES)
    assert {name: [d.score for d in each] for name, each in again.items()} == {
        name: [d.score for d in each] for name, each in found.items()
    }


def test_grounding_dino_finds_boxes_of_one_name_at_a_time(grounding_dino: Path):
    detector = open_detector(grounding_dino)
    assert "not the official detector" in detector.name
    found = detector.detect(png(), ("cup", "dog"))
    assert found
    for objects in found.values():
        for each in objects:
            assert 0 <= each.x0 < each.x1 <= 96
            assert 0 <= each.y0 < each.y1 <= 64
            assert 0 < each.score < 1
            assert each.mask is None
    alone = detector.detect(png(), ("dog",))
    assert [d.score for d in alone["dog"]] == [d.score for d in found["dog"]]
    assert [d.score for d in found["cup"]] != [d.score for d in found["dog"]]


def test_clip_names_a_colour_of_each_object(clip: Path):
    classifier = open_colours(clip)
    whole, part = Detection(0, 0, 96, 64, 1.0), Detection(10.4, 10, 40, 40, 1.0, np.ones((64, 96), bool))
    named = classifier.colours(png(), "cup", [whole, part, whole])
    assert len(named) == 3
    assert named[0] == named[2]
    assert set(named) <= set(COLOURS)


def test_a_folder_that_holds_another_model_is_refused(clip: Path, mask2former: Path, tmp_path: Path):
    with pytest.raises(BriefError, match="holds a clip"):
        open_detector(clip)
    with pytest.raises(BriefError, match="holds a mask2former"):
        open_colours(mask2former)
    with pytest.raises(BriefError, match="there is no checkpoint"):
        open_detector(tmp_path)


# --- crops ----------------------------------------------------------------------------------------


def test_an_object_is_cut_out_on_grey():
    picture = Image.new("RGB", (20, 10), "red")
    mask = np.zeros((10, 20), bool)
    mask[2:6, 4:8] = True
    crop = cut_out(picture, Detection(2.6, 2.4, 8.0, 6.0, 1.0, mask))
    assert crop.size == (5, 4)  # from (3, 2) to (8, 6)
    assert crop.getpixel((0, 0)) == (0x99, 0x99, 0x99)
    assert crop.getpixel((1, 0)) == (255, 0, 0)
    assert cut_out(picture, Detection(2.6, 2.4, 8.0, 6.0, 1.0)).getpixel((0, 0)) == (255, 0, 0)
