"""`predict.py --people auto`, with a detector that finds known boxes: class maps, person maps, JSON, wrong turns."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset.palette import colour_table
from tests.support.predicting import Run, frames_of, make_video, mask, save, written
from utils.inference import HumanParser
from utils.inference.people import Person, PersonDetector, parsed_boxes

PEOPLE = [Person((5.0, 10.0, 60.0, 110.0), 0.9), Person((45.0, 12.0, 100.0, 118.0), 0.8)]


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finds `PEOPLE` in every picture that is wide enough for them."""

    class Stub:
        def detect(self, picture: NDArray[np.uint8]) -> list[Person]:
            return PEOPLE if picture.shape[1] > 90 else []

    monkeypatch.setattr(PersonDetector, "load", lambda *_, **__: Stub())


def test_people_are_found_parsed_and_told_apart(
    run: Run, parser: HumanParser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, lonely = save(tmp_path / "in/crowd.png", 3, (120, 110)), save(tmp_path / "in/empty.png", 4, (60, 40))
    assert run("--input", "in", "--people", "auto", "--instances", "--json") == 0
    assert lonely.is_file()
    out = tmp_path / "out"
    assert written(out) == {f"{k}/{n}.{s}" for n in ("crowd", "empty") for k, s in
                            (("masks", "png"), ("instances", "png"), ("json", "json"))}  # fmt: skip
    expected = parser.predict(picture, person_boxes=parsed_boxes(PEOPLE), return_people=True)
    classes = mask(out / "masks/crowd.png")
    np.testing.assert_array_equal(classes, expected.classes)
    with Image.open(out / "instances/crowd.png") as instances:
        assert instances.mode == "P"
        assert instances.getpalette() == colour_table().ravel().tolist()
        numbers = np.asarray(instances)
    np.testing.assert_array_equal(numbers, expected.people)
    assert set(np.unique(numbers)) == {0, 1, 2}

    values = json.loads((out / "json/crowd.json").read_text())
    assert [entry["number"] for entry in values["people"]] == [1, 2]
    for entry, person in zip(values["people"], PEOPLE, strict=True):
        assert entry["box"] == list(person.box)
        assert entry["score"] == person.score
        own = numbers == entry["number"]
        assert entry["pixels"] == own.sum()
        assert [row["index"] for row in entry["classes"]] == np.unique(classes[own]).tolist()
        for row in entry["classes"]:
            rows, columns = np.nonzero(own & (classes == row["index"]))
            assert row["pixels"] == len(rows)
            assert row["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert not mask(out / "masks/empty.png").any()
    assert json.loads((out / "json/empty.json").read_text())["people"] == []
    assert "Nobody was found in 1 of 2 pictures, such as '" in capsys.readouterr().out


def test_boxes_from_a_file_give_person_maps_too_and_have_no_score(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "a.png", 3, (120, 110))
    save(tmp_path / "b.png", 3, (60, 40))
    (tmp_path / "boxes.json").write_text(json.dumps({"a.png": [[5, 10, 60, 110], [45, 12, 100, 118]]}))
    options = ("--boxes", "boxes.json", "--instances", "--mask-format", "index", "--json")
    assert run("--input", "a.png", "b.png", *options) == 0
    with Image.open(tmp_path / "out/instances/a.png") as instances:
        assert instances.mode == "L"
        assert set(np.unique(np.asarray(instances))) == {0, 1, 2}
    entries = json.loads((tmp_path / "out/json/a.json").read_text())["people"]
    assert [(entry["box"], entry["score"]) for entry in entries] == [
        ([5, 10, 60, 110], None),
        ([45, 12, 100, 118], None),
    ]
    whole = json.loads((tmp_path / "out/json/b.json").read_text())
    assert "people" not in whole
    one = np.asarray(Image.open(tmp_path / "out/instances/b.png"))
    np.testing.assert_array_equal(one, np.asarray(Image.open(tmp_path / "out/masks/b.png")) != 0)


def test_people_in_videos_keep_their_numbers(run: Run, parser: HumanParser, tmp_path: Path) -> None:
    make_video(tmp_path / "clip.avi", 3, (120, 110))
    assert run("--input", "clip.avi", "--people", "auto", "--frames", "--instances", "--json") == 0
    frames = frames_of(tmp_path / "clip.avi")
    for index, frame in enumerate(frames):
        expected = parser.predict(frame, person_boxes=parsed_boxes(PEOPLE), return_people=True)
        name = f"clip.frames/{index:06d}"
        np.testing.assert_array_equal(mask(tmp_path / f"out/masks/{name}.png"), expected.classes)
        with Image.open(tmp_path / f"out/instances/{name}.png") as instances:
            np.testing.assert_array_equal(np.asarray(instances), expected.people)
        values = json.loads((tmp_path / f"out/json/{name}.json").read_text())
        assert [entry["number"] for entry in values["people"]] == [1, 2]
