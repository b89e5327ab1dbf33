"""The evaluation engine: photographs in, scores out. One engine, whatever the protocol."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from dataset.crops import EvaluationBatch, EvaluationCrops, collate_evaluation, worker_init
from dataset.descriptions import DatasetDescription
from dataset.geometry import back_to_picture
from dataset.layouts import Sample
from dataset.loading import batches_of
from utils.background import BoundedExecutor
from utils.distributed import Processes
from utils.evaluation.scores import Scores
from utils.inference.crop_parser import CropParser
from utils.progress import Progress

PredictionSink = Callable[[Sample, NDArray[np.uint8]], None]


class Evaluation(NamedTuple):
    """What an evaluation found, over all processes.

    published: of the predictions mapped back as the published evaluation does, by a centre in whole pixels: what is
    called mIoU. exact: of the same predictions mapped back by the exact centre, as `HumanParser` does
    with `borders="published"`.
    """

    published: Scores
    exact: Scores
    images: int
    seconds: float


def evaluate(
    parser: CropParser,
    samples: Sequence[Sample],
    description: DatasetDescription,
    processes: Processes,
    *,
    input_size: tuple[int, int],
    batch_size: int = 8,
    num_workers: int = 2,
    on_prediction: PredictionSink | None = None,
    title: str = "evaluate",
) -> Evaluation:
    """Parse the samples, map each prediction back to its photograph's size, and count it against the label.

    The samples are dealt out over the processes, each one counted once; every process must call this, and gets the
    same result. `on_prediction` is called, from one background thread, with every sample this process parses and its
    class map (H, W) uint8 at the photograph's size, by the exact centre.
    """
    mine = samples[processes.rank :: processes.world_size]
    crops = EvaluationCrops(mine, description, input_size=input_size)
    loader = DataLoader(
        crops,
        batch_size=batch_size,
        num_workers=min(num_workers, len(mine)),
        collate_fn=collate_evaluation,
        worker_init_fn=worker_init,
        pin_memory=parser.device.type == "cuda",
    )
    published, exact = Scores(description.num_classes), Scores(description.num_classes)

    def finish(classes: Tensor, batch: EvaluationBatch) -> None:
        for crop, index, size, label in zip(classes.numpy(), batch.indices, batch.sizes, batch.labels, strict=True):
            prediction = back_to_picture(crop, size)
            if label is not None:
                published.update(back_to_picture(crop, size, whole_pixel_centre=True), label)
                exact.update(prediction, label)
            if on_prediction is not None:
                on_prediction(mine[index], prediction)

    start = time.perf_counter()
    # Warping back and counting a batch goes on in the background while the network works on the next one.
    with (
        Progress(title, len(samples), "images", quiet=not processes.is_main) as progress,
        BoundedExecutor(workers=1, depth=1) as executor,
        batches_of(loader) as batches,
    ):
        for batch in batches:
            classes = parser.classes(batch.images).cpu()
            executor.submit(finish, classes, batch)
            # The others are about as far.
            progress.advance(min(len(batch.indices) * processes.world_size, progress.total - progress.done))
    published.reduce()
    exact.reduce()
    seconds = time.perf_counter() - start
    return Evaluation(published, exact, len(samples), seconds)
