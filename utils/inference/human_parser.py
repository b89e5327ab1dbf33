"""Human parsing for people who want results: pictures of any kind and size in, class maps of their own size out."""

import itertools
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Unpack

from dataset.descriptions import DatasetDescription
from dataset.geometry import fit_to_crop
from dataset.options import checked
from utils.checkpoint.classes import find_description, resolve_description
from utils.cli import IMAGES_AT_ONCE, scales_option
from utils.inference.canvas import Canvas, ClassMap, Part, Prediction
from utils.inference.crop_parser import CropParser
from utils.inference.engines import Engine
from utils.inference.inputs import Boxes, PictureLike, rgb_picture
from utils.inference.loading import default_engine, load_engine
from utils.inference.options import Borders, LogitsSize, MapOptions, PredictOptions, PredictWithPeopleOptions, Wanted

T = TypeVar("T")
Place = tuple[Canvas[T], int]
"""Of a crop: its picture's canvas, and the number of its region there."""


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

    def __init__(
        self,
        engine: Engine,
        description: DatasetDescription,
        input_size: tuple[int, int],
        *,
        deterministic: bool = False,
    ) -> None:
        self.description = description
        self.class_names = description.class_names
        self.flip_pairs = description.flip_pairs
        self.num_classes = description.num_classes
        self.palette = description.palette
        self.input_size = input_size
        self.device = engine.device
        self._engine = engine
        self._deterministic = deterministic
        self._lock = threading.Lock()

    @classmethod
    def from_checkpoint(
        cls,
        path: str | os.PathLike[str],
        device: str | torch.device | None = None,
        amp: str | None = None,
        *,
        engine: str | None = None,
        input_size: tuple[int, int] | None = None,
        description: DatasetDescription | str | os.PathLike[str] | None = None,
        deterministic: bool = False,
    ) -> "HumanParser":
        """Load a network from any layout `load_weights` accepts that holds a whole one, or an ONNX file.

        Args:
            device: "cpu", "cuda", "cuda:1", "mps"; default, a CUDA GPU where there is one and the engine is torch.
            amp: "off" (default), "bf16" or "fp16".
            engine: "torch", the default; "openvino"; "onnxruntime", for ONNX files alone, whose default it is. The
                latter two compute on the CPU; their logits differ from PyTorch's by less than 1e-3 in full precision.
            input_size: (height, width) the network was trained with. Snapshots and ONNX files say it; the published
                layout does not and is taken for 473 x 473.
            description: the classes: a description, the name of a built-in dataset, or the path of a `dataset.json`.
                Snapshots and ONNX files say them; of other files, those with 20 classes are taken for LIP's, and the
                classes of the rest are called "class 0", "class 1", ... unless you say what they are.
            deterministic: on a CPU, the same bits whatever the batch and the number of cores: each crop is computed on
                one core then, as many at once as there are cores, so that a single picture takes longer.

        Raises CheckpointError for files that are no such network; ValueError for a device that is not there, for
        options that do not fit each other, and for a description of another number of classes.
        """
        if description is not None and default_engine(path) == "onnxruntime":
            raise ValueError(f"'{os.fspath(path)}' says its classes itself; leave the description out")
        named = find_description(description)
        loaded = load_engine(
            path, device, engine=engine, amp=amp or "off", input_size=input_size, deterministic=deterministic
        )
        classes = resolve_description(named, loaded.description, loaded.num_classes, where=f"'{os.fspath(path)}'")
        return cls(loaded.engine, classes, loaded.input_size, deterministic=deterministic)

    @overload  # a str is a sequence of str as well, but taken for a path first; and see the next
    def predict(  # type: ignore[overload-overlap]
        self, images: PictureLike, *, person_boxes: Boxes | None = ..., **options: Unpack[MapOptions]
    ) -> ClassMap: ...

    @overload
    def predict(  # type: ignore[overload-overlap]
        self, images: PictureLike, *, person_boxes: Boxes | None = ..., **options: Unpack[PredictWithPeopleOptions]
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        images: Sequence[PictureLike],
        *,
        person_boxes: Sequence[Boxes | None] | None = ...,
        **options: Unpack[MapOptions],
    ) -> list[ClassMap]: ...

    @overload
    def predict(
        self,
        images: Sequence[PictureLike],
        *,
        person_boxes: Sequence[Boxes | None] | None = ...,
        **options: Unpack[PredictWithPeopleOptions],
    ) -> list[Prediction]: ...

    def predict(
        self,
        images: PictureLike | Sequence[PictureLike],
        *,
        person_boxes: Boxes | Sequence[Boxes | None] | None = None,
        return_people: bool = False,
        **options: Unpack[PredictOptions],
    ) -> ClassMap | Prediction | list[ClassMap] | list[Prediction]:
        """Return the class map (H, W) uint8 of a picture at its own size, or a list of them for a list or tuple.

        With `return_people`, `return_logits` or `alpha_of` it is a `Prediction` with these and the class map.

        Args:
            scales: of the crop, averaged; default (1.0,), and (0.75, 1, 1.25) is the published multi-scale protocol.
            mirror: average with the mirror image; default True.
            batch_size: crops that go through the network together; default 8.
            borders: "smooth" (default) interpolates the crop's logits bilinearly to the picture's pixels, of which each
                gets its best class; "published" gives each the class of the nearest pixel of the crop, as the
                evaluation does.
            person_boxes: for one picture a list of boxes (x0, y0, x1, y1) in pixels of the upright picture, x1 and y1
                being the first column and row outside; for a list of pictures a list of such lists, with None for a
                picture to be parsed whole. What a box cuts out (rounded outwards to whole pixels) is parsed as if it
                were a picture of its own. Where several claim a pixel, whatever the order of the boxes, the one whose
                class's logit exceeds the background's by the most gets it (the second best class's, if there is no
                background class); background claims nothing. What no box claims is background (255 if there is no
                such class).
            return_people: return a `Prediction`, whose `people` say which box each pixel was given to.
            return_logits: return a `Prediction` with the logits, averaged over scales and mirror, float16: "network"
                gives those of the crop, (K, h, w); "picture" gives them warped back to the picture linearly,
                (K, H, W), whose argmax is the class map with smooth borders but for rounding. Not together with
                person_boxes.
            alpha_of: class indices; return a `Prediction` whose `alpha` says how much of each pixel belongs to them:
                the softmax where they meet others, all or nothing away from there.

        Raises ValueError for what is no picture, no box or no scale; DatasetError, one of them, for unreadable files.
        """
        single = not isinstance(images, list | tuple)
        pictures: Any = [images] if single else images
        boxes: Any = [person_boxes] if single and person_boxes is not None else person_boxes
        if boxes is not None and len(boxes) != len(pictures):
            raise ValueError(
                f"{len(pictures)} pictures came with {len(boxes)} lists of person_boxes; give one list for each picture"
            )
        predictions = list(self.predict_iter(pictures, person_boxes=boxes, **options))
        if return_people or options.get("return_logits") is not None or options.get("alpha_of") is not None:
            return predictions[0] if single else predictions
        maps = [prediction.classes for prediction in predictions]
        return maps[0] if single else maps

    def predict_iter(
        self,
        images: Iterable[PictureLike],
        *,
        person_boxes: Iterable[Boxes | None] | None = None,
        **options: Unpack[PredictOptions],
    ) -> Iterator[Prediction]:
        """Yield the predictions of any number of pictures in their order; see `predict`.

        Takes `batch_size` pictures at a time, holds the crops of two such batches and no more, and so is up to two
        batches ahead of what it has yielded.
        """
        boxes = itertools.repeat(None) if person_boxes is None else person_boxes
        pairs = zip(images, boxes, strict=person_boxes is not None)
        predictions = self.predict_items(((None, image, person) for image, person in pairs), **options)
        return (prediction for _, prediction in predictions)

    def predict_items(
        self,
        items: Iterable[tuple[T, PictureLike, Boxes | None]],
        *,
        scales: Sequence[float] = (1.0,),
        mirror: bool = True,
        batch_size: int = 8,
        borders: Borders = "smooth",
        return_logits: LogitsSize | None = None,
        alpha_of: Sequence[int] | None = None,
    ) -> Iterator[tuple[T, Prediction]]:
        """Do what `predict_iter` does, and yield with each prediction what its picture came with.

        Args:
            items: (anything, picture, person boxes or None), such as (path, pixels, None).
        """
        scales = checked("scales", scales_option, scales)
        batch_size = checked("batch_size", IMAGES_AT_ONCE, batch_size)
        # A copy: what is yielded later is made as it was checked.
        alpha_of = None if alpha_of is None else tuple(alpha_of)
        wanted = Wanted(self.description, borders, return_logits, alpha_of)
        crop_parser = CropParser(
            self._engine,
            scales=scales,
            mirror=mirror,
            flip_pairs=self.flip_pairs,
            deterministic=self._deterministic,
        )
        return self._predict_batches(crop_parser, self._crop_batches(iter(items), batch_size, wanted))

    def _crop_batches(
        self, items: Iterator[tuple[T, PictureLike, Boxes | None]], batch_size: int, wanted: Wanted
    ) -> Iterator[tuple[list[NDArray[np.uint8]], list[Place[T]], list[Canvas[T]]]]:
        """Fit pictures, or what the boxes cut out of them, to crops (h, w, 3) BGR, `batch_size` pictures at a time.

        Yields crops that go through the network together, the place of each, and the canvases of all pictures that have
        begun with them, also where they have no region. Where pictures have more crops than `batch_size`, they make
        several batches.
        """
        while chosen := list(itertools.islice(items, batch_size)):
            crops: list[NDArray[np.uint8]] = []
            places: list[Place[T]] = []
            canvases: list[Canvas[T]] = []
            for item, image, boxes in chosen:
                if wanted.logits is not None and boxes is not None:
                    raise ValueError("logits cannot be pasted together: give return_logits or person_boxes, not both")
                picture = rgb_picture(image)
                canvas = Canvas(item, (picture.shape[0], picture.shape[1]), boxes, wanted)
                canvases.append(canvas)
                for number, (rows, columns) in enumerate(canvas.regions):
                    crops.append(fit_to_crop(picture[rows, columns], self.input_size)[..., ::-1])
                    places.append((canvas, number))
            del chosen, picture
            for first in range(0, max(1, len(crops)), batch_size):
                some = slice(first, first + batch_size)
                yield crops[some], places[some], canvases if first == 0 else []

    def _predict_batches(
        self,
        crop_parser: CropParser,
        batches: Iterable[tuple[list[NDArray[np.uint8]], list[Place[T]], list[Canvas[T]]]],
    ) -> Iterator[tuple[T, Prediction]]:
        """Yield what the pictures came with, and their predictions, as soon as all of their crops are parsed."""
        unfinished: deque[Canvas[T]] = deque()
        waiting: list[tuple[Place[T], Part]] = []
        for crops, places, canvases in itertools.chain(batches, [([], [], [])]):
            parts = self._parts(crop_parser, crops, places) if crops else []
            # A GPU is now at work on this batch, while the previous one is finished here and the next one prepared.
            for (canvas, number), part in waiting:
                canvas.paint(number, part)
            while unfinished and unfinished[0].missing == 0:
                canvas = unfinished.popleft()
                yield canvas.item, canvas.prediction
            waiting = list(zip(places, parts, strict=True))
            unfinished += canvases

    def _parts(
        self, crop_parser: CropParser, crops: Sequence[NDArray[np.uint8]], places: Sequence[Place[T]]
    ) -> list[Part]:
        """Return what becomes of each crop of a batch."""
        images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()

        def finish(index: int, logits: Tensor) -> Part:
            canvas, number = places[index]
            return canvas.part(number, logits)

        with self._lock:
            return crop_parser.each(images, finish)
