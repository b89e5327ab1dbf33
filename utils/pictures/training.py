"""What TensorBoard shows of a network in training."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import default_collate

from dataset.descriptions import DatasetDescription
from dataset.geometry import fit_label_to_crop, fit_to_crop
from dataset.layouts import Sample
from dataset.normalise import normalise
from dataset.reading import read_sample
from dataset.targets import edge_targets
from modules.layers import resize
from utils.inference.engines import TorchEngine
from utils.pictures.figures import Picture, grid

CAPTIONS = ("photograph", "label", "coarse", "body", "final", "edges", "edge label")


@torch.inference_mode()
def training_picture(
    engine: TorchEngine, samples: Sequence[Sample], description: DatasetDescription, input_size: tuple[int, int]
) -> Picture:
    """Draw a row for each sample: crop, label, the three predictions, predicted and true edges."""
    crops = []
    for sample in samples:
        image, label = read_sample(sample, description)
        crops.append((fit_to_crop(image, input_size), fit_label_to_crop(label, input_size)))
    images, labels = default_collate(crops)
    out = engine.outputs(normalise(images.permute(0, 3, 1, 2).to(engine.device)))
    predictions = [
        resize(logits.float(), input_size).argmax(dim=1) for logits in (out.coarse, out.body, out.final, out.edge)
    ]
    coarse, body, final, edges = (prediction.to(torch.uint8).cpu().numpy() for prediction in predictions)
    true_edges = edge_targets(labels).numpy()
    rows = []
    for i in range(len(samples)):
        maps = [description.palette[classes[i]] for classes in (labels.numpy(), coarse, body, final)]
        lines = [np.repeat(255 * binary[i][..., None], 3, axis=2) for binary in (edges, true_edges)]
        rows.append([np.ascontiguousarray(crops[i][0][..., ::-1]), *maps, *lines])
    return grid(rows, CAPTIONS)
