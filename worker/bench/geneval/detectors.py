"""The object detector and the colour classifier that GenEval's rules use, over weights on disk.

The official pair is Mask2Former (Swin-S, COCO instances, mmdet) with CLIP ViT-L/14. Here the same models run on
transformers. Grounding DINO finds boxes without outlines: its figures are not comparable, and a report names it.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from director.errors import BriefError
from worker.bench.geneval.scoring import CLASSES, COLOURS, GREY, Colour, ColourClassifier, Detection, Detector, Found
from worker.diffusion.loading import import_torchvision, torch

_PER_PICTURE = 100  # instances that Mask2Former gives, as in mmdet
_FLOOR = 0.05  # Grounding DINO gives 900 boxes: those below are nothing
_TEMPLATES = ("a photo of a {colour} {kind}", "a photo of a {colour}-colored {kind}", "a photo of a {colour} object")


def open_detector(folder: Path, device: str = "cpu") -> Detector:
    """The detector of a checkpoint, by its config. Raises BriefError when it is none of those that are known."""
    kinds: dict[str, Callable[[Path, str], Detector]] = {"mask2former": Mask2Former, "grounding-dino": GroundingDino}
    kind = _config(folder, "--detector").model_type
    if kind not in kinds:
        raise BriefError(f"{folder} holds a {kind}", f"there are {', '.join(kinds)}", "--detector")
    return kinds[kind](folder, device)


def open_colours(folder: Path, device: str = "cpu") -> ColourClassifier:
    """CLIP from a checkpoint. Raises BriefError when it is none."""
    kind = _config(folder, "--clip").model_type
    if kind != "clip":
        raise BriefError(f"{folder} holds a {kind}", "give a CLIP, such as clip-vit-large-patch14", "--clip")
    return ClipColours(folder, device)


class _Checkpoint:
    """A processor and a model from a folder, read when they are first needed."""

    said: str
    kinds: tuple[str, str]
    """Names in transformers, of the processor and of the model."""

    def __init__(self, folder: Path, device: str) -> None:
        self.name = self.said.format(folder.name)
        self._folder, self._device = folder, device

    @cached_property
    def _processor(self) -> Any:
        return getattr(_transformers(), self.kinds[0]).from_pretrained(str(self._folder), local_files_only=True)

    @cached_property
    def _model(self) -> Any:
        model = getattr(_transformers(), self.kinds[1]).from_pretrained(str(self._folder), local_files_only=True)
        return model.to(self._device).eval()


class Mask2Former(_Checkpoint):
    """Instances with outlines. Post-processing is that of mmdet's MaskFormerFusionHead, which the benchmark used."""

    said = "Mask2Former ({})"
    kinds = "AutoImageProcessor", "Mask2FormerForUniversalSegmentation"

    def __init__(self, folder: Path, device: str) -> None:
        super().__init__(folder, device)
        labels = _config(folder, "--detector").num_labels
        if labels != len(CLASSES):
            raise BriefError(f"{folder} knows {labels} classes", "give one of COCO's 80 instances", "--detector")

    def detect(self, png: bytes, classes: Sequence[str]) -> Found:
        picture = opened(png)
        inputs = self._processor(images=[picture], return_tensors="pt").to(self._device)
        with torch().inference_mode():
            outputs = self._model(pixel_values=inputs["pixel_values"], pixel_mask=inputs["pixel_mask"])
        masks = on_picture(outputs.masks_queries_logits[0], inputs["pixel_mask"][0], picture.size)
        found: dict[str, list[Detection]] = {}
        for label, detection in instances(outputs.class_queries_logits[0], masks):
            found.setdefault(CLASSES[label], []).append(detection)
        return found


def on_picture(masks: Any, valid: Any, size: tuple[int, int]) -> Any:
    """Mask logits (query, small height, small width) over the picture itself (query, height, width).

    `valid` (input height, input width) is 1 where the model's input shows the picture and 0 where it is padded.
    """
    resize = torch().nn.functional.interpolate
    over = resize(masks[None].float(), size=tuple(valid.shape), mode="bilinear", align_corners=False)
    rows, columns = int(valid.any(1).sum()), int(valid.any(0).sum())
    over = over[..., :rows, :columns]
    return resize(over, size=(size[1], size[0]), mode="bilinear", align_corners=False)[0]


def instances(classes: Any, masks: Any) -> Iterator[tuple[int, Detection]]:
    """Class number and detection of the hundred best, from logits (query, class + none) and (query, height, width).

    A score is the class's probability times the mean probability of the pixels inside. One query may be several
    classes; empty outlines are left out.
    """
    scores = classes.float().softmax(-1)[:, :-1]
    best = scores.flatten().topk(min(_PER_PICTURE, scores.numel()))
    for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        query, label = divmod(index, scores.shape[1])
        inside = masks[query] > 0
        area = int(inside.sum())
        if area == 0:
            continue
        sure = float((masks[query].sigmoid() * inside).sum() / (area + 1e-6))
        mask = inside.cpu().numpy()
        yield label, Detection(*_around(mask), score=score * sure, mask=mask)


class GroundingDino(_Checkpoint):
    """Boxes by name, one class at a time, so that no word of another leaks into it."""

    said = "Grounding DINO ({}; boxes only, not the official detector)"
    kinds = "AutoProcessor", "GroundingDinoForObjectDetection"

    def detect(self, png: bytes, classes: Sequence[str]) -> Found:
        picture = opened(png)
        return {name: boxes for name in classes if (boxes := list(self._boxes(picture, name)))}

    def _boxes(self, picture: Image.Image, name: str) -> Iterator[Detection]:
        inputs = self._processor(images=picture, text=f"{name}.", return_tensors="pt").to(self._device)
        with torch().inference_mode():
            outputs = self._model(**inputs)
        # A box's score is that of the word it fits best. Boxes are centre and size, as shares of the picture.
        scores = outputs.logits[0].float().sigmoid().max(-1).values.tolist()
        for score, (x, y, width, height) in zip(scores, outputs.pred_boxes[0].float().tolist(), strict=True):
            if score > _FLOOR:
                across, down = picture.size
                yield Detection(
                    max(0.0, (x - width / 2) * across), max(0.0, (y - height / 2) * down),
                    min(float(across), (x + width / 2) * across), min(float(down), (y + height / 2) * down), score,
                )  # fmt: skip


class ClipColours(_Checkpoint):
    """Zero-shot, three templates a colour, their embeddings averaged: as the benchmark's use of CLIP_benchmark."""

    said = "CLIP ({})"
    kinds = "CLIPProcessor", "CLIPModel"

    def __init__(self, folder: Path, device: str) -> None:
        super().__init__(folder, device)
        self._texts: dict[str, Any] = {}

    def colours(self, png: bytes, kind: str, objects: Sequence[Detection]) -> Sequence[Colour]:
        crops: list[Image.Image] = [cut_out(opened(png), each) for each in objects]
        inputs = self._processor(images=crops, return_tensors="pt").to(self._device)
        with torch().inference_mode():
            seen = _unit(_pooled(self._model.get_image_features(pixel_values=inputs["pixel_values"])))
            best: list[int] = (seen @ self._said(kind).T).argmax(-1).tolist()
        return [COLOURS[index] for index in best]

    def _said(self, kind: str) -> Any:
        """Text embeddings of the colours (colour, feature) for things of this kind."""
        if kind not in self._texts:
            words = [form.format(colour=colour, kind=kind) for colour in COLOURS for form in _TEMPLATES]
            tokens = self._processor(text=words, padding=True, return_tensors="pt").to(self._device)
            each = _unit(_pooled(self._model.get_text_features(**tokens)))
            self._texts[kind] = _unit(each.reshape(len(COLOURS), len(_TEMPLATES), -1).mean(1))
        return self._texts[kind]


def opened(png: bytes) -> Image.Image:
    """The picture, upright, in RGB."""
    with Image.open(io.BytesIO(png)) as picture:
        upright = ImageOps.exif_transpose(picture)
        return (upright or picture).convert("RGB")


def cut_out(picture: Image.Image, detection: Detection) -> Image.Image:
    """The object alone, what is not of it in grey; a detection without an outline keeps all of its box."""
    if detection.mask is not None:
        blank = Image.new("RGB", picture.size, GREY)
        picture = Image.composite(picture, blank, Image.fromarray(np.asarray(detection.mask, bool)))
    x0, y0, x1, y1 = (round(each) for each in (detection.x0, detection.y0, detection.x1, detection.y1))
    return picture.crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))


def _around(mask: Any) -> tuple[float, float, float, float]:
    """The box around a mask (height, width) that holds something; right and bottom edges are outside of it."""
    ys, xs = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return float(xs[0]), float(ys[0]), float(xs[-1]) + 1, float(ys[-1]) + 1


def _unit(vectors: Any) -> Any:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _pooled(features: Any) -> Any:
    """transformers 5 gives an output object where 4 gave the tensor."""
    return getattr(features, "pooler_output", features)


def _transformers() -> Any:
    try:
        torch()
        import_torchvision()
        return import_module("transformers")
    except ImportError as error:
        raise BriefError(
            f"torch and transformers are not installed ({error})",
            "run in the environment of make setup-models",
            "--detector",
        ) from error


def _config(folder: Path, option: str) -> Any:
    if not (folder / "config.json").is_file():
        raise BriefError(f"there is no checkpoint in {folder}", "name a folder as transformers saves it", option)
    return _transformers().AutoConfig.from_pretrained(str(folder), local_files_only=True)
