"""`python -m dataset.prepare_ccp` on archives that are not what they should be: one sentence, and exit status 2."""

import os
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset.prepare_ccp import main, split_ids
from tests.support import started
from tests.support.clothing import HAIR, TAGS, make_repository

scipy_io = pytest.importorskip("scipy.io", reason="scipy reads and writes the MATLAB files")

ID = split_ids()["train"][0]
LABEL = f"annotations/pixel-level/{ID}.mat"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a repository of one photograph (30 x 20), of hair alone."""
    return make_repository(tmp_path / "ccp", {ID: np.full((30, 20), HAIR, np.uint8)})


def write_label(source: Path, values: object, name: str = "groundtruth") -> None:
    scipy_io.savemat(source / LABEL, {name: values}, do_compression=True)


def refused(source: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence with which the repository is refused."""
    assert main(["--source", str(source), "--output", str(source.parent / "out")]) == 2
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence.startswith("dataset.prepare_ccp: ")
    assert len(sentence) < 600
    assert not (source.parent / "out/train_id.txt").exists()
    return sentence


def test_the_repository_of_these_tests_is_taken(source: Path) -> None:
    assert main(["--source", str(source), "--output", str(source.parent / "out")]) == 0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.full((30, 20), 300, np.int16), "values that are no tag numbers"),
        (np.full((30, 20), -1, np.int16), "values that are no tag numbers"),
        (np.full((30, 20), 0.5), "values that are no tag numbers"),
        (np.full((30, 20), np.nan), "values that are no tag numbers"),
        (np.full((30, 20), 1j), "values that are no tag numbers"),
        (np.full((30, 20), "a", dtype=object), "values that are no tag numbers"),
        (np.zeros((3, 4)), "is (3, 4), but"),
        (np.full((30, 20), 200, np.uint8), "has the tag number 200, which label_list.mat lacks"),
        ({"a": 1}, "is (1, 1), but"),
        ("text", "is (1,), but"),
    ],
)
def test_labels_of_another_kind(
    values: object, sentence: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_label(source, values)
    said = refused(source, capsys)
    assert sentence in said
    assert f"{ID}.mat" in said


def test_labels_as_floating_point_are_the_same_labels(source: Path) -> None:
    write_label(source, np.full((30, 20), float(HAIR)))
    assert main(["--source", str(source), "--output", str(source.parent / "out")]) == 0


def test_labels_without_the_variable_or_cut_are_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_label(source, np.zeros((30, 20), np.uint8), "truth")
    assert f"{ID}.mat: cannot read its variable 'groundtruth' (it has none of this name)" in refused(source, capsys)
    (source / LABEL).write_bytes((source / LABEL).read_bytes()[:150])
    assert f"{ID}.mat: cannot read its variable 'groundtruth'" in refused(source, capsys)


def test_a_photograph_that_is_cut_is_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph = source / f"photos/{ID}.jpg"
    photograph.write_bytes(photograph.read_bytes()[:-20])
    assert f"{ID}.jpg: the photograph is truncated" in refused(source, capsys)


def test_what_unpacks_to_more_than_it_may_have_stays_packed(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    element = zlib.compress(bytes(100_000))
    header = (source / LABEL).read_bytes()[:128]
    (source / "label_list.mat").write_bytes(header + struct.pack("<II", 15, len(element)) + element)
    assert "unpacks to more than 65,536 bytes" in refused(source, capsys)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["null"] * 300, "lists 300 tags; the repository's own has 59"),
        (["null", "\x1b[2J"], "lists tags that belong to no class here: "),
        ([], "lists 0 tags"),
        ([*TAGS, "monocle"], "lists tags that belong to no class here: monocle"),
    ],
)
def test_lists_of_other_tags(tags: list[str], message: str, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scipy_io.savemat(source / "label_list.mat", {"label_list": np.array(tags, dtype=object)[None]})
    said = refused(source, capsys)
    assert f"label_list.mat {message}" in said
    assert said.isprintable()


def test_a_photograph_that_unpacks_to_gigabytes(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    for part in (b"IHDR" + header, b"IDAT" + zlib.compress(bytes(9)), b"IEND"):
        data += struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
    (source / f"photos/{ID}.jpg").write_bytes(data)
    assert f"{ID}.jpg: has more pixels than Pillow takes for harmless" in refused(source, capsys)


def crash(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_file_that_crashes_scipy_is_told_and_the_next_one_read(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged bytes in a list of tags do, but others in each release."""
    with monkeypatch.context() as patch:
        patch.setattr("dataset.prepare_ccp._load", crash)
        assert refused(source, capsys).endswith(
            "label_list.mat: scipy crashes while reading it; fetch the repository again"
        )
    assert main(["--source", str(source), "--output", str(source.parent / "out")]) == 0


def test_ctrl_c_is_one_line_with_a_process_that_reads(source: Path) -> None:
    for other in split_ids()["train"][1:200]:
        os.link(source / f"photos/{ID}.jpg", source / f"photos/{other}.jpg")
        os.link(source / LABEL, source / f"annotations/pixel-level/{other}.mat")
    output = source.parent / "out"
    command = [sys.executable, "-m", "dataset.prepare_ccp", "--source", str(source), "--output", str(output)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=started.heed_ctrl_c
    )
    started.wait_for(lambda: list(output.glob("train_images/*.jpg")), "the first photograph")
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "\nInterrupted.\n"
    assert process.returncode == 128 + signal.SIGINT


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_ends_in_a_traceback(data: st.DataObject, source: Path) -> None:
    name = data.draw(st.sampled_from([LABEL, "label_list.mat", f"photos/{ID}.jpg"]))
    whole = (source / name).read_bytes()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (source / name).write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert main(["--source", str(source), "--output", str(source.parent / "out")]) in (0, 2)
    finally:
        (source / name).write_bytes(whole)
