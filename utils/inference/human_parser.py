"""Human parsing for people who want results: pictures of any kind and size in, class maps of their own size out."""

import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, overload

import torch
from torch import Tensor

from dataset.descriptions import DatasetDescription
from dataset.options import checked
from utils.checkpoint.classes import find_description, settle_description
from utils.checkpoint.snapshots import load_model
from utils.cli import IMAGES_AT_ONCE, checked_scales
from utils.device import AMP_DTYPES, check_amp, choose_device
from utils.inference.batches import ClassMap, CropBatch, LogitsSize, Prediction, crop_batch, picture_predictions
from utils.inference.crop_parser import CropParser
from utils.inference.engines import Engine, OnnxEngine, TorchEngine
from utils.inference.inputs import Boxes, PictureLike

T = TypeVar("T")


class HumanParser:
    """Parse people in pictures, exactly as the evaluation does.

    A picture is a path, a file's bytes, a binary file, a PIL image, or a NumPy array (H, W, 3) uint8 **RGB**, of any
    size. All but arrays are turned upright as their EXIF orientation says, and class maps are those of the upright
    picture. Transparency is dropped: the stored colours count, as in training.

        parser = HumanParser.from_checkpoint("snapshots/LIP_epoch_Best.pth")
        classes = parser.predict("photo.jpg")            # (H, W) uint8
        parser.class_names[classes[y, x]]

    One parser may be used from several threads; they take turns at the network.

    Attributes:
        description: the classes: `class_names`, `flip_pairs`, `num_classes`, also directly on the parser.
        palette: (256, 3) uint8 RGB, a colour for each class.
        input_size: (height, width) of the crop that every picture is fitted into.
        device: where the network computes.
    """

    def __init__(self, engine: Engine, description: DatasetDescription, input_size: tuple[int, int]) -> None:
        self.description = description
        self.class_names = description.class_names
        self.flip_pairs = description.flip_pairs
        self.num_classes = description.num_classes
        self.palette = description.palette
        self.input_size = input_size
        self.device = engine.device
        self._engine = engine
        # PyTorch's number of threads, which the CPU engine sets, is partly one setting for the whole process.
        self._lock = threading.Lock()

    @classmethod
    def from_checkpoint(
        cls,
        path: str | os.PathLike[str],
        device: str | torch.device | None = None,
        amp: str | None = None,
        *,
        input_size: tuple[int, int] | None = None,
        description: DatasetDescription | str | os.PathLike[str] | None = None,
    ) -> "HumanParser":
        """Load a network from any layout `load_weights` accepts that holds a whole one, or an ONNX file.

        Args:
            device: "cpu", "cuda", "cuda:1", "mps"; default, a CUDA GPU where there is one.
            amp: "off" (default), "bf16" or "fp16".
            input_size: (height, width) the network was trained with. Snapshots and ONNX files say it; the published
                layout does not and is taken for 473 x 473.
            description: the classes: a description, the name of a built-in dataset, or the path of a `dataset.json`.
                Snapshots and ONNX files say them; of other files, those with 20 classes are taken for LIP's, and the
                classes of the rest are called "class 0", "class 1", ... unless you say what they are.

        Raises CheckpointError for files that are no such network; ValueError for a device that is not there and for a
        description of another number of classes.
        """
        if amp not in (None, *AMP_DTYPES):
            raise ValueError(f"amp is {amp!r}; it must be one of {', '.join(AMP_DTYPES)}")
        if Path(path).suffix.lower() == ".onnx":
            return cls._from_onnx(path, device, amp, input_size, description)
        named = find_description(description)
        chosen = choose_device(None if device is None else str(device), for_prediction=True)
        check_amp(amp, chosen)
        model, own, _ = load_model(path, input_size=input_size)
        classes = settle_description(named, own, model.num_classes, where=f"'{os.fspath(path)}'")
        return cls(TorchEngine(model.to(chosen), chosen, amp=amp or "off"), classes, model.input_size)

    @classmethod
    def _from_onnx(
        cls, path: str | os.PathLike[str], device: object, amp: str | None, input_size: object, description: object
    ) -> "HumanParser":
        if str(device or "cpu") != "cpu" or amp not in (None, "off"):
            raise ValueError(
                f"'{os.fspath(path)}': ONNX files run on the CPU in full precision; leave device and amp out"
            )
        if input_size is not None or description is not None:
            raise ValueError(f"'{os.fspath(path)}' says its input size and classes itself; leave them out")
        engine = OnnxEngine(path)
        return cls(engine, engine.description, engine.input_size)

    @overload  # a str is a sequence of str as well, but taken for a path first
    def predict(  # type: ignore[overload-overlap]
        self,
        images: PictureLike,
        *,
        scales: Sequence[float] = ...,
        mirror: bool = ...,
        batch_size: int = ...,
        person_boxes: Boxes | None = ...,
        return_logits: None = ...,
    ) -> ClassMap: ...

    @overload  # a str is a sequence of str as well, but taken for a path first
    def predict(  # type: ignore[overload-overlap]
        self,
        images: PictureLike,
        *,
        scales: Sequence[float] = ...,
        mirror: bool = ...,
        batch_size: int = ...,
        person_boxes: None = ...,
        return_logits: LogitsSize,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        images: Sequence[PictureLike],
        *,
        scales: Sequence[float] = ...,
        mirror: bool = ...,
        batch_size: int = ...,
        person_boxes: Sequence[Boxes | None] | None = ...,
        return_logits: None = ...,
    ) -> list[ClassMap]: ...

    @overload
    def predict(
        self,
        images: Sequence[PictureLike],
        *,
        scales: Sequence[float] = ...,
        mirror: bool = ...,
        batch_size: int = ...,
        person_boxes: None = ...,
        return_logits: LogitsSize,
    ) -> list[Prediction]: ...

    def predict(
        self,
        images: PictureLike | Sequence[PictureLike],
        *,
        scales: Sequence[float] = (1.0,),
        mirror: bool = True,
        batch_size: int = 8,
        person_boxes: Boxes | Sequence[Boxes | None] | None = None,
        return_logits: LogitsSize | None = None,
    ) -> ClassMap | Prediction | list[ClassMap] | list[Prediction]:
        """Return the class map (H, W) uint8 of a picture at its own size, or a list of them for a list or tuple.

        Args:
            scales: of the crop, averaged; (0.75, 1, 1.25) is the published multi-scale protocol.
            mirror: average with the mirror image.
            batch_size: crops that go through the network together.
            person_boxes: for one picture a list of boxes (x0, y0, x1, y1) in pixels of the upright picture, x1 and y1
                being the first column and row outside; for a list of pictures a list of such lists, with None for a
                picture to be parsed whole. What a box cuts out (rounded outwards to whole pixels) is parsed as if it
                were a picture of its own, and its classes are pasted in the order of the boxes: later ones cover
                earlier ones, background covers nothing. What no box claims is background (255 if there is no such
                class).
            return_logits: return a `Prediction` with the logits, averaged over scales and mirror, float16: "network"
                gives those of the crop, (K, h, w), of which the class map is the argmax, warped back nearest;
                "picture" gives them warped back to the picture linearly, (K, H, W), whose argmax may differ from the
                class map along the borders of classes. Not together with person_boxes.

        Raises ValueError for what is no picture, no box or no scale; DatasetError, one of them, for unreadable files.
        """
        single = not isinstance(images, list | tuple)
        pictures: Any = [images] if single else images
        boxes: Any = [person_boxes] if single and person_boxes is not None else person_boxes
        if boxes is not None and len(boxes) != len(pictures):
            raise ValueError(
                f"{len(pictures)} pictures came with {len(boxes)} lists of person_boxes; give one list for each picture"
            )
        predictions = list(
            self.predict_iter(
                pictures,
                scales=scales,
                mirror=mirror,
                batch_size=batch_size,
                person_boxes=boxes,
                return_logits=return_logits,
            )
        )
        if return_logits is not None:
            return predictions[0] if single else predictions
        maps = [prediction.classes for prediction in predictions]
        return maps[0] if single else maps

    def predict_iter(
        self,
        images: Iterable[PictureLike],
        *,
        scales: Sequence[float] = (1.0,),
        mirror: bool = True,
        batch_size: int = 8,
        person_boxes: Iterable[Boxes | None] | None = None,
        return_logits: LogitsSize | None = None,
    ) -> Iterator[Prediction]:
        """Yield the predictions of any number of pictures in their order; see `predict`.

        Takes `batch_size` pictures at a time, holds the crops of two such batches and no more, and so is up to two
        batches ahead of what it has yielded.
        """
        boxes = itertools.repeat(None) if person_boxes is None else person_boxes
        pairs = zip(images, boxes, strict=person_boxes is not None)
        predictions = self.predict_items(
            ((None, image, person) for image, person in pairs),
            scales=scales,
            mirror=mirror,
            batch_size=batch_size,
            return_logits=return_logits,
        )
        return (prediction for _, prediction in predictions)

    def predict_items(
        self,
        items: Iterable[tuple[T, PictureLike, Boxes | None]],
        *,
        scales: Sequence[float] = (1.0,),
        mirror: bool = True,
        batch_size: int = 8,
        return_logits: LogitsSize | None = None,
    ) -> Iterator[tuple[T, Prediction]]:
        """Do what `predict_iter` does, and yield with each prediction what its picture came with.

        Args:
            items: (anything, picture, person boxes or None), such as (path, pixels, None).
        """
        scales = checked("scales", checked_scales, scales)
        batch_size = checked("batch_size", IMAGES_AT_ONCE, batch_size)
        if return_logits not in (None, *get_args(LogitsSize)):
            raise ValueError(f"return_logits is {return_logits!r}; it must be 'network', 'picture' or None")
        crop_parser = CropParser(self._engine, scales=scales, mirror=mirror, flip_pairs=self.flip_pairs)
        return self._predict_batches(crop_parser, iter(items), batch_size, return_logits)

    def _predict_batches(
        self,
        crop_parser: CropParser,
        items: Iterator[tuple[T, PictureLike, Boxes | None]],
        batch_size: int,
        return_logits: LogitsSize | None,
    ) -> Iterator[tuple[T, Prediction]]:
        waiting: tuple[CropBatch[T], Tensor, Tensor | None] | None = None
        while chosen := list(itertools.islice(items, batch_size)):
            if return_logits and any(boxes is not None for _, _, boxes in chosen):
                raise ValueError("logits cannot be pasted together: give return_logits or person_boxes, not both")
            batch = crop_batch(chosen, self.input_size)
            del chosen
            result = self._run(crop_parser, batch.crops.split(batch_size), with_logits=return_logits is not None)
            # A GPU is now at work on this batch, while the previous one is finished here and the next one prepared.
            if waiting is not None:
                yield from picture_predictions(*waiting, return_logits, self.description.background)
            waiting = (batch, *result)
        if waiting is not None:
            yield from picture_predictions(*waiting, return_logits, self.description.background)

    def _run(
        self, crop_parser: CropParser, crops: Sequence[Tensor], *, with_logits: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return class maps (n, h, w) uint8 and, if wanted, logits (n, K, h, w) float32, both on the device."""
        if len(crops[0]) == 0:  # no boxes in any picture of the batch
            return torch.empty((0, *self.input_size), dtype=torch.uint8), None
        with self._lock:
            if not with_logits:
                return torch.cat([crop_parser.classes(part) for part in crops]), None
            logits = torch.cat([crop_parser.logits(part) for part in crops])
        return logits.argmax(dim=1).to(torch.uint8), logits
