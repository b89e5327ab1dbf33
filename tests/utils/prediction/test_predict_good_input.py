"""What people feed predict.py: each input with what comes of it, the names of results, what is left out."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from tests.support.predicting import Run, make_video, mask, person, save, written
from utils.inference import HumanParser
from utils.prediction.inputs import InputError, find_sources
from utils.prediction.names import shortened

Output = pytest.CaptureFixture[str]


def encoded(kind: str) -> bytes:
    if kind == "AVIF" and "avif" not in features.get_supported():
        pytest.skip("this Pillow does not write AVIF")
    file = io.BytesIO()
    Image.fromarray(person(0)).save(file, kind)
    return file.getvalue()


JPEG = encoded("JPEG")
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(range(256)) * 20 + b"\xff\xda\xff\xd9\xff\xda"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
TRUNCATED = "in/{name}: the photograph is truncated; fetch the file again"

INPUTS: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    # What it is: its name, its content, and the sentence it gets; none where it is parsed.
    "a motion photo": ("a.jpg", JPEG + VIDEO, ""),
    "a photograph and a second one": ("a.jpg", JPEG + JPEG, ""),
    "a photograph and zeros": ("a.jpg", JPEG + bytes(4096), ""),
    "a photograph without end marker": ("a.jpg", JPEG[:-2], ""),
    "a photograph with half an end marker": ("a.jpg", JPEG[:-1], ""),
    "half a photograph": ("a.jpg", JPEG[: len(JPEG) // 2], TRUNCATED),
    "half a photograph and a video": ("a.jpg", JPEG[: len(JPEG) // 2] + VIDEO, TRUNCATED),
    "half a photograph and a whole one": ("a.jpg", JPEG[: len(JPEG) // 2] + JPEG, TRUNCATED),
    "half a photograph and zeros": ("a.jpg", JPEG[: len(JPEG) // 2] + bytes(9999), TRUNCATED),
    "half a photograph and an end marker": ("a.jpg", JPEG[: len(JPEG) // 2] + b"\xff\xd9\0", TRUNCATED),
    "an upper-case suffix": ("a.JPG", JPEG, ""),
    "a .jfif": ("a.jfif", JPEG, ""),
    "a .jpe": ("a.jpe", JPEG, ""),
    "a .gif": ("a.gif", lambda: encoded("GIF"), ""),
    "a .jp2": ("a.jp2", lambda: encoded("JPEG2000"), ""),
    "an .avif": ("a.avif", lambda: encoded("AVIF"), ""),
    "an .avif called .jpg": ("a.jpg", lambda: encoded("AVIF"), ""),
    "a .webp": ("a.webp", lambda: encoded("WEBP"), ""),
    "a .heic": ("a.heic", HEIC, "in/{name}: HEIC pictures need pillow-heif: pip install pillow-heif"),
    "a name of 246 bytes": ("n" * 242 + ".jpg", JPEG, ""),
    "a name of 247 bytes": ("n" * 243 + ".jpg", JPEG, ""),
    "a name of 255 bytes": ("n" * 251 + ".jpg", JPEG, ""),
    "a name of 255 bytes in two alphabets": ("ä" * 125 + "n.jpg", JPEG, ""),
    "nothing": ("a.png", b"", "in/{name}: OpenCV cannot decode these 0 bytes as a photograph"),
    "words": ("a.gif", b"words", "in/{name}: OpenCV cannot decode these 5 bytes as a photograph"),
}


@pytest.mark.parametrize(("name", "content", "sentence"), INPUTS.values(), ids=INPUTS.keys())
def test_each_input_is_parsed_or_gets_its_sentence(
    run: Run, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch,
    name: str, content: bytes | Callable[[], bytes], sentence: str,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where it is not installed
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content if isinstance(content, bytes) else content())
    save(tmp_path / "in/zzz.png", 1)  # the rest of the run goes on
    assert run("--input", "in", "--json") == (1 if sentence else 0)
    output = capsys.readouterr()
    assert sentence.format(name=name) in output.err
    assert "Traceback" not in output.err
    masks = written(tmp_path / "out/masks")
    assert "zzz.png" in masks
    assert len(masks) == len(written(tmp_path / "out/json")) == (1 if sentence else 2)
    if not sentence:
        (made,) = masks - {"zzz.png"}
        assert mask(tmp_path / "out/masks" / made).shape == (60, 45)
        assert run("--input", "in", "--json") == 0
        assert "All results (2) are in 'out' already" in capsys.readouterr().out


def test_heic_is_parsed_where_its_package_is(run: Run, parser: HumanParser, tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    for suffix in ("heic", "HEIF", "hif"):
        save(tmp_path / f"in/{suffix}.png").unlink()
        (tmp_path / f"in/{suffix}.{suffix}").write_bytes(encoded("HEIF"))
    assert run("--input", "in") == 0
    assert written(tmp_path / "out") == {"masks/heic.png", "masks/HEIF.png", "masks/hif.png"}
    expected = parser.predict(encoded("HEIF"))
    np.testing.assert_array_equal(mask(tmp_path / "out/masks/heic.png"), expected)


def test_long_names_stay_as_they_are_while_they_fit_and_never_meet() -> None:
    assert shortened("n" * 248) == "n" * 248
    long = [shortened("n" * 250 + end) for end in ("a", "b")] + [shortened("ä" * 125 + end) for end in ("a", "b")]
    assert len(set(long)) == 4
    assert all(240 < len(os.fsencode(name)) <= 248 for name in long)
    assert shortened(os.fsdecode(b"\xff" * 250)).startswith("~")  # names that are no UTF-8, either


def test_long_names_that_differ_in_their_suffix_or_end_have_results_of_their_own(run: Run, tmp_path: Path) -> None:
    for name in ("n" * 251 + ".jpg", "n" * 251 + ".png", "n" * 250 + "m.jpg"):
        save(tmp_path / "in" / name)
    make_video(tmp_path / "in" / ("v" * 251 + ".avi"), 2)
    assert run("--input", "in", "--json", "--overlay", "--frames") == 0
    assert len(written(tmp_path / "out")) == 3 * 3 + 1 + 2 * 3


def test_names_that_the_disk_refuses_are_listed_and_the_rest_is_done(
    run: Run, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encrypted disks take 143 bytes, those of cameras no colons; a folder may have the name of a result."""
    replace = os.replace

    def refuse(source: str, target: Path) -> None:
        if ":" in Path(target).name:
            raise OSError(22, "Invalid argument", str(source))
        if len(Path(target).name) > 143:
            raise OSError(36, "File name too long", str(source))
        replace(source, target)

    monkeypatch.setattr("dataset.writing.os.replace", refuse)
    for name in ("a", "b:c", "n" * 150, "taken", "z"):
        save(tmp_path / f"in/{name}.jpg")
    (tmp_path / "out/masks/taken.png/inside").mkdir(parents=True)
    (tmp_path / "out/masks/sub").write_text("no folder")
    save(tmp_path / "in/sub/d.jpg")
    assert run("--input", "in", "--batch-size", "2") == 1
    output = capsys.readouterr()
    assert "2 of 6 inputs parsed" in output.out
    assert written(tmp_path / "out/masks") == {"a.png", "z.png", "sub"}
    for name, reason in (
        ("b:c.jpg", "Invalid argument"),
        ("n" * 150 + ".jpg", "File name too long"),
        ("taken.jpg", "is a folder"),
        ("sub/d.jpg", "File exists"),
    ):
        (line,) = (line for line in output.err.splitlines() if f"in/{name}: its result '" in line)
        assert f"' cannot be written ({reason}" in line


def test_pictures_of_other_formats_are_counted_and_named(run: Run, tmp_path: Path, capsys: Output) -> None:
    save(tmp_path / "in/a.jpg")
    for name in ("b.CR2", "c.cr2", "sub/d.psd", "sub/e.mpg", "notes.txt", "._f.cr2", ".cache/g.cr2", "no_suffix"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"content")
    for arguments in (["in"], ["in/*", "in"], ["in"]):
        assert run("--input", *arguments) == 0
        error = capsys.readouterr().err
        assert "formats are not read: 2 .cr2, 1 .psd, 1 .mpg; the first is '" in error
        assert "in/b.CR2'" in error
    assert run("--input", "in/a.jpg") == 0
    assert "Left out" not in capsys.readouterr().err
    assert run("--input", "in", "in/b.CR2") == 1  # whoever names a file wants it tried
    error = capsys.readouterr().err
    assert "in/b.CR2: OpenCV cannot decode" in error
    assert "not read: 1 .cr2, 1 .psd, 1 .mpg; the first" in error


@pytest.mark.parametrize("text", ["in", "in/*", "in/*.cr2"])
def test_an_input_that_holds_other_formats_only_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a.cr2", "b.cr2"):
        (tmp_path / "in" / name).touch()
    with pytest.raises(InputError, match=r"; 2 \.cr2 are of formats that are not read$"):
        find_sources([text])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_large_pictures_are_taken_by_option(
    run: Run, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "in/large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 45 // 2 - 1)
    assert run("--input", "in") == 1
    assert "in/large.png: has more pixels than Pillow takes for harmless" in capsys.readouterr().err
    assert run("--input", "in", "--large-pictures") == 0
    assert written(tmp_path / "out") == {"masks/large.png"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_boxes_may_begin_with_a_byte_order_mark(run: Run, parser: HumanParser, tmp_path: Path, encoding: str) -> None:
    save(tmp_path / "0.png")
    (tmp_path / "boxes.json").write_text('{"0.png": [[10, 5, 45, 60]]}', encoding)
    assert run("--input", "0.png", "--boxes", "boxes.json") == 0
    expected = parser.predict(person(0), person_boxes=[(10, 5, 45, 60)])
    np.testing.assert_array_equal(mask(tmp_path / "out/masks/0.png"), expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "cannot be read as JSON"),
        ("null", "holds null; it must hold {"),
        ("[]", "holds []; it must hold {"),
        ("{}", "holds {}; it must hold {"),
        ('{"0.png": null}', "'0.png' has null, which is no list of boxes; the file must hold {"),
        (
            '{"1.png": [], "0.png": [10, 5, 45, 60]}',
            "'0.png' has [10, 5, 45, 60], which is no list of boxes; the file must hold {\"photo.jpg\": [[x0, y0, x1,",
        ),
        ('{"0.png": [[1, 2]]}', "'0.png' has [1, 2] among its boxes, which is not four finite numbers"),
        ('{"0.png": [null]}', "'0.png' has null among its boxes, which is not four finite numbers"),
        ('{"0.png": [[1, 2, 3, 4], [0, 0, NaN, 20]]}', "has [0, 0, NaN, 20] among its boxes, which is not four finite"),
        ('{"0.png": [[1, 2, 3, 4], null]}', "'0.png' has null among its boxes, which is not four finite numbers"),
        ('{"in/0.png": []}', "its first entry is 'in/0.png', the first picture '0.png'; entries are paths"),
    ],
)
def test_what_is_wrong_with_boxes_is_said_as_it_stands_in_their_file(
    run: Run, tmp_path: Path, capsys: Output, content: str, message: str
) -> None:
    save(tmp_path / "0.png")
    (tmp_path / "boxes.json").write_text(content)
    assert run("--input", "0.png", "--boxes", "boxes.json") == 2
    error = capsys.readouterr().err
    assert error.startswith("predict.py: --boxes 'boxes.json'")
    assert message in error
    assert not (tmp_path / "out").exists()
