"""Checkpoints of which a disk or a copy has turned a bit: told, or else read as what they were."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from utils.checkpoint.files import CheckpointError, read_checkpoint

FLIPS = 400
CONTENT: dict[str, Any] = {"weight": torch.arange(50, dtype=torch.float32), "bias": torch.ones(3), "step": 7}


@pytest.mark.filterwarnings("ignore")
def test_no_flipped_bit_changes_a_checkpoint_without_a_word(tmp_path: Path) -> None:
    """PyTorch's own reader took about half of the flipped files, with other weights in them."""
    path = tmp_path / "weights.pth"
    torch.save(CONTENT, path)
    whole = path.read_bytes()
    choose = random.Random(0)
    told = 0
    folder_mark = whole.index(b"PK\x01\x02") + 38  # of the first file in the directory: not to be left to chance
    for number in range(FLIPS):
        damaged = bytearray(whole)
        place, bit = (choose.randrange(len(damaged)), choose.randrange(8)) if number else (folder_mark, 4)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            content = read_checkpoint(path)
        except CheckpointError:
            told += 1
            continue
        assert content.keys() == CONTENT.keys()
        assert all(torch.equal(torch.as_tensor(content[name]), torch.as_tensor(CONTENT[name])) for name in CONTENT)
    assert told > FLIPS / 10  # the rest was padding


def test_the_sentence_says_that_the_content_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(CONTENT, path)
    whole = path.read_bytes()
    place = whole.index(CONTENT["weight"].numpy().tobytes())
    path.write_bytes(whole[: place + 9] + bytes([whole[place + 9] ^ 1]) + whole[place + 10 :])
    with pytest.raises(CheckpointError, match=r"damaged \(the content of .*/data/\d has changed since it was written"):
        read_checkpoint(path)


def test_files_that_were_written_without_checksums_are_read(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(CONTENT, tmp_path / "weights.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(read_checkpoint(tmp_path / "weights.pth")["weight"], CONTENT["weight"])
