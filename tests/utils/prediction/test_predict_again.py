"""predict.py in a folder that has results already: which of them it keeps, and which it makes anew."""

import json
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.predicting import Run, frames_of, make_video, mask, person, save, written
from utils.inference import HumanParser
from utils.inference.people import PersonDetector
from utils.prediction.record import PredictionRecord, fingerprint

Output = pytest.CaptureFixture[str]


def record_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_a_picture_of_the_same_name_from_another_folder_is_parsed_anew(
    run: Run, parser: HumanParser, tmp_path: Path, capsys: Output
) -> None:
    for seed, folder in enumerate(("ann", "bob")):
        save(tmp_path / folder / "photo.png", seed)
        save(tmp_path / folder / f"{folder}.png", 7)
    assert run("--input", "ann") == 0
    capsys.readouterr()
    assert run("--input", "bob") == 0
    np.testing.assert_array_equal(mask(tmp_path / "out/masks/photo.png"), parser.predict(person(1)))
    output = capsys.readouterr().out
    assert "1 of 2 inputs, such as 'photo', anew: the results in 'out' were made from another file." in output
    assert run("--input", "bob") == 0
    assert "All results (2) are in 'out' already" in capsys.readouterr().out


def test_a_replaced_photograph_is_parsed_anew_even_if_size_and_time_are_the_same(
    run: Run, parser: HumanParser, tmp_path: Path, capsys: Output
) -> None:
    path = save(tmp_path / "in/photo.bmp", 0)
    before = path.stat()
    assert run("--input", "in") == 0
    save(path, 1)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert run("--input", "in") == 0
    np.testing.assert_array_equal(mask(tmp_path / "out/masks/photo.png"), parser.predict(person(1)))
    assert "the results in 'out' were made before this file was changed." in capsys.readouterr().out


def test_untouched_inputs_are_not_read_again_and_touched_or_moved_ones_only_once(
    run: Run, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: Path) -> Any:
        read.append(path.name)
        return fingerprint(path)

    for number in range(4):
        save(tmp_path / f"in/{number}.png", number)
    assert run("--input", "in") == 0
    monkeypatch.setattr("utils.prediction.record.fingerprint", counted)
    assert run("--input", "in") == 0
    assert read == []
    (tmp_path / "in/1.png").touch()
    shutil.copy(tmp_path / "in/3.png", tmp_path / "in/copy")
    os.replace(tmp_path / "in/copy", tmp_path / "in/3.png")
    for _ in range(2):
        assert run("--input", "in") == 0
        assert sorted(read) == ["1.png", "3.png"]
    (tmp_path / "in").rename(tmp_path / "moved")
    (tmp_path / "out").rename(tmp_path / "results")
    assert run("--input", "moved", "--output", "results") == 0
    output = capsys.readouterr().out
    assert output.count("All results (4) are in") == 4
    assert sorted(read) == ["1.png", "3.png"]


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ([], ["--scales", "0.75,1"], "--scales"),
        ([], ["--no-mirror", "--amp", "bf16"], "--amp, --no-mirror"),
        ([], ["--input-size", "97,73"], "--input-size"),
        ([], ["--dataset", "lip"], "--dataset"),
        ([], ["--mask-format", "index"], "--mask-format"),
        (["--cutout"], ["--cutout", "--keep", "Hair"], "--keep"),
        (["--logits"], ["--logits", "picture"], "--logits"),
        (["--boxes", "boxes.json"], [], "--boxes"),
        ([], ["--people", "auto"], "--people"),
    ],
)
def test_results_of_other_options_are_made_anew_and_the_options_named(
    run: Run, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch,
    before: list[str], after: list[str], named: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(PersonDetector, "load", lambda *_, **__: SimpleNamespace(detect=lambda _: []))
    save(tmp_path / "a.png")
    (tmp_path / "boxes.json").write_text('{"a.png": [[0, 0, 20, 30]]}')
    assert run("--input", "a.png", *before) == 0
    assert run("--input", "a.png", *after) == 0
    assert f"the results in 'out' were made with other options ({named})." in capsys.readouterr().out
    assert run("--input", "a.png", *after) == 0
    assert "All results (1)" in capsys.readouterr().out


def test_what_does_not_change_results_makes_none_anew(run: Run, tmp_path: Path, capsys: Output) -> None:
    save(tmp_path / "a.png")
    assert run("--input", "a.png", "--cutout", "--keep", "hair", "Face") == 0
    same = ["--cutout", "--keep", "FACE", "Hair", "--batch-size", "2", "--device", "cpu", "--amp", "off"]
    assert run("--input", "a.png", *same) == 0
    assert run("--input", "a.png") == 0  # what stays in a cut-out does not matter to the mask
    assert capsys.readouterr().out.count("All results (1)") == 2


def test_another_checkpoint_counts_by_its_content(run: Run, tmp_path: Path, capsys: Output) -> None:
    save(tmp_path / "a.png")
    for name, weights in (("old", "first"), ("new", "second"), ("moved", "second")):
        (tmp_path / name).write_text(weights)
    assert run("--input", "a.png", "--checkpoint", "old") == 0
    assert run("--input", "a.png", "--checkpoint", "new") == 0
    assert "were made with other options (--checkpoint)" in capsys.readouterr().out
    assert run("--input", "a.png", "--checkpoint", "moved") == 0
    assert "All results (1)" in capsys.readouterr().out


def test_each_kind_of_result_is_known_by_itself(run: Run, tmp_path: Path, capsys: Output) -> None:
    save(tmp_path / "a.png", 0)
    assert run("--input", "a.png", "--json") == 0
    old = json.loads((tmp_path / "out/json/a.json").read_text())
    save(tmp_path / "a.png", 1, (80, 50))
    assert run("--input", "a.png") == 0
    assert json.loads((tmp_path / "out/json/a.json").read_text()) == old  # not asked for
    assert run("--input", "a.png", "--json") == 0
    assert json.loads((tmp_path / "out/json/a.json").read_text())["height"] == 80


def test_results_of_unknown_origin_are_made_anew(run: Run, tmp_path: Path, capsys: Output) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "out/masks/a.png", 3)
    assert run("--input", "a.png") == 0
    assert "'a', anew: the results in 'out' are not in predictions.jsonl." in capsys.readouterr().out
    mask(tmp_path / "out/masks/a.png")


def test_the_record_is_an_index_of_the_results(run: Run, tmp_path: Path) -> None:
    path = save(tmp_path / "in/sub/ä.png")
    assert run("--input", "in", "--json", "--scales", "0.75,1") == 0
    (line,) = record_lines(tmp_path / "out")
    assert line["input"] == str(path)
    assert set(line["results"]) == written(tmp_path / "out") == {"masks/sub/ä.png", "json/sub/ä.json"}
    assert line["options"]["scales"] == [0.75, 1.0]
    assert line["sha256"] == fingerprint(path).sha256


@pytest.mark.parametrize("end", ['{"input": "/in/b.png", "resu', '{"results": 3}\n[]\n\0\xff\n', "\n\n7\n"])
def test_half_a_line_of_a_killed_run_costs_no_other_line(run: Run, tmp_path: Path, capsys: Output, end: str) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"in/{name}.png")
    assert run("--input", "in") == 0
    record = tmp_path / "out/predictions.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(next(line for line in lines if b"in/a.png" in line) + end.encode("latin-1"))
    capsys.readouterr()
    assert run("--input", "in") == 0
    assert "1 of 2 inputs parsed" in capsys.readouterr().out
    assert run("--input", "in") == 0
    assert "All results (2)" in capsys.readouterr().out


def test_results_that_a_killed_run_had_begun_to_replace_are_not_taken_for_the_former(
    run: Run, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    save(tmp_path / "a.png")
    assert run("--input", "a.png") == 0
    with monkeypatch.context() as patch:
        patch.setattr(PredictionRecord, "add", killed)  # the new mask is written, but not its line
        assert run("--input", "a.png", "--scales", "0.75") == 2
    capsys.readouterr()
    assert run("--input", "a.png") == 0
    assert "1 of 1 inputs parsed" in capsys.readouterr().out


def test_two_runs_may_write_into_one_record_at_once(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png")
    content = fingerprint(path)

    def write(run_number: int) -> None:
        record = PredictionRecord(tmp_path)
        for number in range(100):
            record.add(path, content, {f"masks/{run_number}-{number}.png": {}}, {"scales": [1.0] * 50})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {name for line in record_lines(tmp_path) for name in line["results"]}
    assert len(names) == len(record_lines(tmp_path)) == 300


def test_another_video_of_the_same_name_is_parsed_anew_with_all_its_frames(
    run: Run, parser: HumanParser, tmp_path: Path, capsys: Output
) -> None:
    make_video(tmp_path / "ann/clip.avi", 6)
    clip = make_video(tmp_path / "bob/clip.avi", 3, (64, 48))
    assert run("--input", "ann", "--frames") == 0
    assert run("--input", "bob", "--frames", "--json") == 0
    assert run("--input", "ann", "--frames") == 0
    assert run("--input", "bob", "--frames") == 0
    assert capsys.readouterr().out.count("were made from another file") == 2
    assert written(tmp_path / "out/masks") == {f"clip.frames/{number:06d}.png" for number in range(3)}
    for number, frame in enumerate(frames_of(clip)):
        np.testing.assert_array_equal(mask(tmp_path / f"out/masks/clip.frames/{number:06d}.png"), parser.predict(frame))
    assert run("--input", "bob", "--frames") == 0
    assert "All results (1)" in capsys.readouterr().out
