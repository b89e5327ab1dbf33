"""Files from outside that are no files, or hold what nobody expects: one sentence, at once, wherever they come in."""

import json
import multiprocessing
import os
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from dataset import crops
from dataset.descriptions import DatasetDescription, DatasetError, list_samples, load_description
from dataset.files import open_regular, parse_json, printable, read_regular
from dataset.reading import exif_orientation, label_colours, read_image, read_label
from utils.checkpoint.files import CheckpointError, read_checkpoint
from utils.prediction.inputs import InputError, Source, read_boxes
from utils.prediction.video import VideoReader

OWN: dict[str, Any] = {"name": "mine", "classes": ["no", "yes"], "flip_pairs": [], "ignore_label": 255}
TWO = DatasetDescription.from_dict(OWN)


@pytest.fixture(params=["pipe", "device", "circle", "folder", "endless"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the path of something that is no regular file, or has no end."""
    path = tmp_path / "thing"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "circle":
        path.symlink_to(path)
    elif request.param == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 2**40)  # takes no room on the disk
    return path


def test_pictures_labels_boxes_and_checkpoints_are_regular_files(no_file: Path) -> None:
    with pytest.raises(OSError):
        read_regular(no_file)
    with pytest.raises(DatasetError, match=str(no_file)):
        read_image(no_file)
    with pytest.raises(DatasetError, match=str(no_file)):
        read_label(no_file, TWO)
    with pytest.raises(DatasetError, match=str(no_file)):
        label_colours(no_file)
    assert exif_orientation(no_file) == 1
    with pytest.raises(CheckpointError, match=str(no_file)):
        read_checkpoint(no_file)
    with pytest.raises(InputError, match=str(no_file)):
        read_boxes(no_file, [Source(no_file, "a.png", "a")])
    with pytest.raises((OSError, ValueError), match=str(no_file)):
        VideoReader(no_file)


def test_lists_and_descriptions_are_regular_files(no_file: Path, make_dataset: Callable[..., Path]) -> None:
    folder = make_dataset()
    (folder / "val_id.txt").unlink()
    (folder / "val_id.txt").symlink_to(no_file)
    with pytest.raises(DatasetError, match=r"val_id\.txt: cannot be read"):
        list_samples(folder, load_description(folder), "val")
    (folder / "dataset.json").symlink_to(no_file)
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        load_description(folder)


def test_a_pipe_is_not_waited_for_and_a_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file, but a device or pipe"):
        open_regular(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"12")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "link") == b"12"


def test_what_a_terminal_would_obey_is_shown() -> None:
    assert printable("Größe 头发\tя.jpg", kept="\t") == "Größe 头发\tя.jpg"
    assert printable("a\x1b[2J\n\u202egpj.\udcff\x7f") == r"a\x1b[2J\n\u202egpj.\udcff\x7f"


def test_json_may_be_nested_as_deeply_as_it_likes(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(deep)
    folder = make_dataset()
    (folder / "dataset.json").write_text(deep)
    with pytest.raises(DatasetError, match="nested too deeply"):
        load_description(folder)
    (tmp_path / "boxes.json").write_text(f'{{"a.png": {deep}}}')
    with pytest.raises(InputError, match="nested too deeply"):
        read_boxes(tmp_path / "boxes.json", [])


@pytest.mark.parametrize(
    "box",
    ["null", "[1, 2, 3, null]", "[[1], 2, 3, 4]", f"[0, 0, 5, {'9' * 400}]", "[0, 0, 5, 1e999]", '[0, 0, 5, "5"]'],
)
def test_boxes_are_four_finite_numbers(box: str, tmp_path: Path) -> None:
    file = tmp_path / "boxes.json"
    file.write_text(f'{{"a.png": [{box}]}}')
    with pytest.raises(
        InputError, match=r"'a\.png' has .*which is (not four finite numbers|no list of boxes)"
    ) as caught:
        read_boxes(file, [Source(tmp_path / "a.png", "a.png", "a")])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "a/b", "a\\b", ".", "..", "a b", "x\n", "\x1b[2J", "ß", "n" * 101, "", 3]
)
def test_a_dataset_is_called_what_a_file_can_be_called(name: object) -> None:
    with pytest.raises(DatasetError, match=r"name is .*snapshots are called after it, so it must be a text of"):
        DatasetDescription.from_dict(OWN | {"name": name})


def test_names_of_classes_have_no_control_characters() -> None:
    for hidden in ("a\x1b[2J", "a\nb", "a\u202eb"):
        with pytest.raises(DatasetError, match="control characters") as caught:
            DatasetDescription.from_dict(OWN | {"classes": ["no", hidden]})
        assert str(caught.value).isprintable()
    assert DatasetDescription.from_dict(OWN | {"classes": ["non", "Größe 头发"]}).num_classes == 2


def test_many_pairs_are_counted_in_no_time() -> None:
    with pytest.raises(DatasetError, match="more than once"):
        DatasetDescription.from_dict(OWN | {"flip_pairs": [[0, 1]] * 100_000})


@pytest.mark.parametrize("stranger", ["../train_images/t1", "/etc/passwd", "..\\x", "C:\\x", "a/../../x"])
def test_ids_that_leave_the_folder_are_refused(stranger: str, make_dataset: Callable[..., Path]) -> None:
    folder = make_dataset()
    (folder / "val_id.txt").write_text(f"v1\n{stranger}\n")
    with pytest.raises(DatasetError, match=r"leaves the dataset with 1 of its ids: .* \(line 2\)"):
        list_samples(folder, load_description(folder), "val")


@pytest.mark.parametrize("kind", ["compressed", "shared"])
def test_archives_that_unpack_to_more_than_they_are_stay_packed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if kind == "compressed":
        torch.save({"a": torch.zeros(100_000)}, tmp_path / "plain.pth")
        with (
            zipfile.ZipFile(tmp_path / "plain.pth") as plain,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
        ):
            for name in plain.namelist():
                packed.writestr(name, plain.read(name))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", bytes(1000))
            archive.filelist *= 100
    with pytest.raises(CheckpointError, match=r"says that it unpacks to .*which could fill the memory"):
        read_checkpoint(path)


class Numbers(Dataset[int]):
    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> int:
        return index


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_only_the_workers_of_this_project_are_ended_at_exit() -> None:
    stranger = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
    stranger.start()
    batches: list[Any] = [
        iter(DataLoader(Numbers(), num_workers=1, worker_init_fn=init, multiprocessing_context="fork"))
        for init in (crops.worker_init, None)
    ]
    try:
        own, other = (loader._workers[0] for loader in batches)
        assert [next(loader).tolist() for loader in batches] == [[0], [0]], "both have begun"
        crops._end_workers()
        own.join(10)
        assert (own.is_alive(), other.is_alive(), stranger.is_alive()) == (False, True, True)
    finally:
        stranger.kill()


def test_a_program_ends_whose_worker_has_outlived_its_loader() -> None:
    script = (
        "import multiprocessing, time; from dataset import crops\n"
        "def work(): crops.worker_init(0); time.sleep(600)\n"
        "multiprocessing.get_context('fork').Process(target=work, daemon=True).start(); time.sleep(2)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], timeout=120, check=True)


def test_numbers_in_descriptions_are_quoted_in_short(tmp_path: Path) -> None:
    for key in ("ignore_label", "first_label", "layout", "has_background", "name"):
        with pytest.raises(DatasetError) as caught:
            DatasetDescription.from_dict(OWN | {key: [[0] * 10**6]})
        assert len(str(caught.value)) < 300
    with pytest.raises(DatasetError, match="must hold a JSON object"):
        DatasetDescription.from_dict(json.loads("3"))
    assert np.array_equal(TWO.stored_to_class()[:2], [0, 1])


@pytest.mark.parametrize("reader", [read_image, lambda path: read_label(path, TWO)], ids=["photograph", "label"])
def test_a_picture_is_judged_by_its_header_before_it_is_unpacked(
    reader: Callable[[Path], object], tmp_path: Path
) -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(20_001 * 20), 1)  # were it decoded, OpenCV would give 1.2 GB
    data = b"\x89PNG\r\n\x1a\n"
    for part in (chunk, b"IDAT" + body, b"IEND"):
        data += struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DatasetError, match=r"a\.png.*exceeds limit of \d+ pixels"):
        reader(tmp_path / "a.png")
