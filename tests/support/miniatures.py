"""A folder like a clone of the project in which somebody works: small data, pictures, and weights of a tiny network.

The commands of the pages run in it, with the names and paths that stand in them.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from dataset.descriptions import BUILT_IN, load_description
from dataset.people import make_dataset
from dataset.prepare_ccp import main as prepare_ccp
from dataset.prepare_ccp import split_ids
from modules.layers import classifier
from tests.support.clothing import make_repository, person
from tests.support.drawn import drawn
from tests.support.pages import ROOT, fenced_blocks
from tests.support.predicting import make_video
from tests.support.tiny_network import TinyNetwork
from tests.support.tiny_parser import CROP
from tests.support.weights import imagenet
from utils.checkpoint.snapshots import snapshot_content, write_snapshot

STAND_IN = """#!/usr/bin/env bash
# A Python that lacks nothing and has no GPU, and writes down what it is told to run.
case "$1" in
    -c) [[ $2 != *torch* ]] || echo 1 ;;
    */requirements.py) ;;
    *) printf '%q ' "$@" >>recorded && echo >>recorded ;;
esac
"""


class MiniatureNetwork(TinyNetwork):
    """Tells its number of classes by the tensor by which checkpoints are asked for it, and does nothing with it."""

    def __init__(self, num_classes: int, input_size: tuple[int, int], *, depth: int = 101) -> None:
        super().__init__(num_classes, input_size, depth=depth)
        self.final_head = nn.ModuleDict({"classifier": classifier(8, num_classes)}).requires_grad_(False)


def make_miniatures(folder: Path) -> Path:
    """Fill an empty folder, and return it."""
    _copy_scripts(folder)
    lip = make_dataset(folder / "data/LIP", num_train=8, num_val=2, size=(96, 72), workers=1)
    _own_data(lip, folder / "data/mine")
    for name in ("dataset.json", "people.json"):
        (lip / name).unlink()
    tags = person(120, 80, (20, 100, 20, 60))
    ids = split_ids()
    published = make_repository(
        folder / "clothing-co-parsing", dict.fromkeys([*ids["train"][:4], *ids["val"][:2]], tags)
    )
    assert prepare_ccp(["--source", str(published), "--output", str(folder / "data/ccp")]) == 0

    (folder / "snapshots").mkdir()
    (folder / "dataset").mkdir()
    torch.manual_seed(0)
    network = MiniatureNetwork(20, CROP).eval()
    nn.init.normal_(network.heads.weight)
    content = snapshot_content(network, BUILT_IN["lip"])  # type: ignore[arg-type]
    write_snapshot(folder / "snapshots/LIP_epoch_Best.pth", content)
    torch.save(imagenet(), folder / "dataset/resnet101-imagenet.pth")

    Image.fromarray(drawn(3, (480, 410))).save(folder / "photo.jpg")
    Image.fromarray(drawn(4, (480, 410))).save(folder / "street.jpg")
    make_video(folder / "clip.mp4", 2)
    (folder / "photos").mkdir()
    shutil.copy(folder / "photo.jpg", folder / "photos")
    (folder / "boxes.json").write_text(_json_blocks("docs/pictures.md")[0])
    (folder / "five.json").write_text(_json_blocks("docs/own_data.md")[1])
    return folder


def _copy_scripts(folder: Path) -> None:
    shutil.copytree(ROOT / "utils/launch", folder / "utils/launch")
    for script in (*ROOT.glob("*.sh"), ROOT / "pyproject.toml"):
        shutil.copy(script, folder)
    (folder / "stand-in").write_text(STAND_IN)
    (folder / "stand-in").chmod(0o755)


def _own_data(lip: Path, folder: Path) -> None:
    """Make the data of the page on own data: the drawn people, by classes as that page describes them."""
    shutil.copytree(lip, folder)
    (folder / "people.json").unlink()
    (folder / "dataset.json").write_text(_json_blocks("docs/own_data.md")[0])
    classes = load_description(folder).num_classes
    for path in folder.glob("*_segmentations/*.png"):
        Image.fromarray(np.asarray(Image.open(path)) % classes).save(path)


def _json_blocks(page: str) -> list[str]:
    """Return a page's JSON, which people are to write into files."""
    return [block.text for block in fenced_blocks(ROOT / page) if block.language == "json"]
