"""Items and batches: the same for any number of workers, and bytes only."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from dataset.crops import EvaluationCrops, TrainingCrops, collate_evaluation, worker_init
from dataset.descriptions import BUILT_IN, list_samples
from dataset.geometry import affine_matrix, crop_box, warp_image
from dataset.layouts import DatasetError, Sample
from dataset.reading import read_image, read_label

LIP = BUILT_IN["lip"]


@pytest.fixture
def samples(make_dataset: Callable[..., Path]) -> dict[str, list[Sample]]:
    data_dir = make_dataset(train=[f"t{i}" for i in range(7)], val=["v1", "v2", "v3"])
    return {split: list_samples(data_dir, LIP, split) for split in ("train", "val")}


def training_crops(samples: dict[str, list[Sample]], **options: Any) -> TrainingCrops:
    return TrainingCrops(samples["train"], LIP, **{"input_size": (33, 25), "seed": 5, **options})


class TwoEpochs(Sampler[list[tuple[int, int]]]):
    """Batches of keys that name another epoch each time they are gone through, as a trainer's sampler does."""

    def __init__(self) -> None:
        self.epoch = -1

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        self.epoch += 1
        order = np.random.default_rng(self.epoch).permutation(7).tolist()
        yield [(self.epoch, index) for index in order[:3]]
        yield [(self.epoch, index) for index in order[3:6]]


def load(samples: dict[str, list[Sample]], workers: int) -> list[tuple[Tensor, Tensor]]:
    loader: Any = DataLoader(
        training_crops(samples),
        batch_sampler=TwoEpochs(),
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=worker_init,
    )
    try:
        return [(batch["image"], batch["label"]) for _ in range(2) for batch in loader]
    finally:
        if workers > 0:  # a loader that an error keeps in a cycle would wait ten seconds for them when it is collected
            loader._iterator._shutdown_workers()


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")
def test_batches_do_not_depend_on_the_number_of_workers(samples: dict[str, list[Sample]]) -> None:
    reference = load(samples, 0)
    assert len(reference) == 4
    assert reference[0][0].shape == (3, 3, 33, 25)
    for workers in (1, 3):
        for (image, label), (expected_image, expected_label) in zip(load(samples, workers), reference, strict=True):
            assert torch.equal(image, expected_image)
            assert torch.equal(label, expected_label)


def test_a_crop_changes_with_seed_epoch_and_index(samples: dict[str, list[Sample]]) -> None:
    crops = training_crops(samples)
    keys = [(epoch, index) for epoch in range(3) for index in range(7)]
    images = {key: crops[key]["image"].numpy().tobytes() for key in keys}
    assert len(set(images.values())) == len(keys)
    assert crops[1, 2]["image"].numpy().tobytes() == images[1, 2]
    other = training_crops(samples, seed=6)
    assert all(other[key]["image"].numpy().tobytes() != images[key] for key in keys)


def test_two_photographs_of_one_content_are_augmented_differently(samples: dict[str, list[Sample]]) -> None:
    crops = TrainingCrops([samples["train"][0]] * 2, LIP, input_size=(33, 25), seed=5)
    assert not torch.equal(crops[0, 0]["image"], crops[0, 1]["image"])


def test_a_training_item_is_bytes_and_nothing_more(samples: dict[str, list[Sample]]) -> None:
    item = training_crops(samples)[0, 0]
    assert {key: (value.dtype, tuple(value.shape)) for key, value in item.items()} == {
        "image": (torch.uint8, (3, 33, 25)),
        "label": (torch.uint8, (33, 25)),
    }
    assert set(item["label"].unique().tolist()) <= {*range(20), 255}


def test_the_switches_reach_the_augmentation(samples: dict[str, list[Sample]], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    def augment(image: NDArray, label: NDArray, *_: Any, **options: Any) -> tuple[NDArray, NDArray]:
        seen.append(options)
        return image, label

    monkeypatch.setattr("dataset.crops.augment", augment)
    switches = ("random_mirror", "random_scale", "random_rotation", "random_colour")
    training_crops(samples)[0, 0]
    for off in switches:
        training_crops(samples, **{off: False})[0, 0]
    assert not seen[0].keys() & set(switches)  # all are on
    for off, options in zip(switches, seen[1:], strict=True):
        assert [name for name in switches if not options.get(name, True)] == [off]
    assert seen[0]["mirror_table"][[13, 14, 15]].tolist() == [13, 15, 14]
    with pytest.raises(TypeError, match="no switch 'random_colours'; there are random_mirror, "):
        training_crops(samples, random_colours=False)


def test_images_are_in_the_stored_channel_order(
    samples: dict[str, list[Sample]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.crops.augment", lambda image, label, *_, **__: (image, label))
    item = training_crops(samples)[0, 3]
    stored = cv2.imread(str(samples["train"][3].image_path))
    assert stored is not None
    assert (item["image"].numpy() == stored.transpose(2, 0, 1)).all()


def test_errors_in_a_worker_name_the_file(samples: dict[str, list[Sample]]) -> None:
    samples["train"][2].image_path.write_bytes(b"broken")
    with pytest.raises(DatasetError, match=r"t2\.jpg") as caught:
        load(samples, 1)
    assert "\n" not in str(caught.value)


def test_evaluation_shows_the_whole_photograph(samples: dict[str, list[Sample]]) -> None:
    crops = EvaluationCrops(samples["val"], LIP, input_size=(33, 45))
    images, indices, sizes, (label,) = crops[1]
    sample = samples["val"][1]
    assert sample.label_path is not None
    image = read_image(sample.image_path)
    matrix = affine_matrix(crop_box((40, 30), (33, 45)), (33, 45))
    assert (images[0].numpy() == warp_image(image, matrix, (33, 45)).transpose(2, 0, 1)).all()
    assert (images.dtype, len(images)) == (torch.uint8, 1)
    assert (indices, sizes) == ([1], [(40, 30)])
    assert label is not None
    assert (label == read_label(sample.label_path, LIP)).all()
    assert len(crops) == 3


def test_evaluation_batches_keep_sizes_and_labels_apart(samples: dict[str, list[Sample]]) -> None:
    wide = np.zeros((20, 50, 3), np.uint8)
    cv2.imwrite(str(samples["val"][2].image_path), wide)
    cv2.imwrite(str(samples["val"][2].label_path), wide[..., 0])
    samples["val"][0] = samples["val"][0]._replace(label_path=None)
    crops = EvaluationCrops(samples["val"], LIP, input_size=(33, 45))
    for workers in (0, 2):
        loader = DataLoader(
            crops, batch_size=3, num_workers=workers, collate_fn=collate_evaluation, worker_init_fn=worker_init
        )
        (batch,) = loader
        assert batch.images.shape == (3, 3, 33, 45)
        assert torch.equal(batch.images[1], crops[1].images[0])
        assert batch.indices == [0, 1, 2]
        assert batch.sizes == [(40, 30), (40, 30), (20, 50)]
        assert [None if label is None else label.shape for label in batch.labels] == [None, (40, 30), (20, 50)]


def test_evaluation_notices_labels_of_another_size(samples: dict[str, list[Sample]]) -> None:
    cv2.imwrite(str(samples["val"][0].label_path), np.zeros((40, 31), np.uint8))
    with pytest.raises(DatasetError, match=r"v1\.jpg is 30 x 40 pixels, but .*v1\.png 31 x 40"):
        EvaluationCrops(samples["val"], LIP, input_size=(33, 45))[0]


@pytest.mark.parametrize(("layout", "values"), [("cihp", (0, 20)), ("ade20k", (0, 151))])
def test_other_layouts_give_the_same_kind_of_items(
    make_dataset: Callable[..., Path], layout: str, values: tuple[int, int]
) -> None:
    data_dir = make_dataset(layout, values=values)
    description = BUILT_IN[layout]
    crops = TrainingCrops(list_samples(data_dir, description, "train"), description, input_size=(33, 25), seed=5)
    labels = torch.stack([crops[0, index]["label"] for index in range(3)])
    assert labels.shape == (3, 33, 25)
    assert set(labels.unique().tolist()) <= {*range(description.num_classes), 255}
    assert labels[labels != 255].max() > 0.9 * (description.num_classes - 1)
