"""HumanParser: what it accepts, that it agrees with the evaluation, boxes, logits, threads."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import utils.inference.loading
from dataset.descriptions import BUILT_IN, DatasetDescription
from dataset.geometry import affine_matrix, crop_box, warp_back
from dataset.layouts import DatasetError, Sample
from dataset.people import draw_person
from tests.support.tiny_parser import CROP, LIP, tiny_network, tiny_parser
from utils.checkpoint.metadata import NetworkMetadata
from utils.checkpoint.snapshots import LoadedModel
from utils.distributed import Processes
from utils.evaluation.engine import evaluate
from utils.inference import HumanParser
from utils.inference.crop_parser import CropParser
from utils.inference.engines import TorchEngine
from utils.inference.inputs import rgb_picture

CPU = torch.device("cpu")
SIZES = ((60, 45), (120, 75), (96, 160), (33, 97), (150, 64))


@pytest.fixture(scope="module")
def parser() -> HumanParser:
    return tiny_parser()


@pytest.fixture(scope="module")
def people() -> list[NDArray[np.uint8]]:
    """Five people of various sizes, RGB."""
    return [np.ascontiguousarray(draw_person(i, size)[0][..., ::-1]) for i, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def files(people: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("people")
    paths = [folder / f"{i}.{'jpg' if i % 2 else 'png'}" for i in range(len(people))]
    for path, person in zip(paths, people, strict=True):
        Image.fromarray(person).save(path)
    return paths


@pytest.mark.parametrize(("scales", "mirror"), [((1.0,), True), ((0.75, 1.0, 1.25), True), ((1.0,), False)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_predictions_are_the_evaluations(
    files: list[Path], parser: HumanParser, scales: tuple[float, ...], mirror: bool, batch_size: int
) -> None:
    engine: Any = CropParser(TorchEngine(tiny_network(), CPU), scales=scales, mirror=mirror, flip_pairs=LIP.flip_pairs)
    expected: dict[str, NDArray[np.uint8]] = {}
    evaluate(
        engine,
        [Sample(path.stem, path, None) for path in files],
        LIP,
        Processes(0, 1, 1, CPU),
        input_size=CROP,
        batch_size=2,
        num_workers=0,
        on_prediction=lambda sample, classes: expected.update({sample.id: classes}),
    )
    predictions = parser.predict(files, scales=scales, mirror=mirror, batch_size=batch_size, borders="published")
    assert len(np.unique(predictions[0])) > 2
    for path, prediction in zip(files, predictions, strict=True):
        assert prediction.dtype == np.uint8
        np.testing.assert_array_equal(prediction, expected[path.stem])


def test_scales_and_mirror_matter(parser: HumanParser, people: list[NDArray[np.uint8]]) -> None:
    plain = parser.predict(people[0], mirror=False)
    assert (plain != parser.predict(people[0])).any()
    assert (plain != parser.predict(people[0], mirror=False, scales=(0.75, 1.25))).any()


def test_a_picture_may_be_path_text_image_or_array(
    parser: HumanParser, files: list[Path], people: list[NDArray[np.uint8]]
) -> None:
    expected = parser.predict(people[0])
    assert expected.shape == SIZES[0]
    for picture in (files[0], str(files[0]), Image.open(files[0]), people[0][::-1].copy()[::-1]):
        np.testing.assert_array_equal(parser.predict(picture), expected)
    assert (parser.predict(people[0][..., ::-1]) != expected).any()  # BGR is something else
    several = parser.predict((files[0], people[2]))
    assert [classes.shape for classes in several] == [SIZES[0], SIZES[2]]
    assert parser.predict([]) == []


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
def test_exif_orientation_is_honoured(parser: HumanParser, tmp_path: Path, orientation: int, suffix: str) -> None:
    # One coloured corner per side, so that all eight orientations differ.
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:16, :16], stored[:16, -16:], stored[-16:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    picture = Image.fromarray(stored)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / f"turned.{suffix}", exif=exif)
    # What each orientation does to the stored pixels, from the EXIF standard.
    upright = {
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    seen = rgb_picture(tmp_path / f"turned.{suffix}")
    assert seen.shape == upright.shape
    assert np.abs(seen.astype(int) - upright).mean() < 4  # JPEG blurs the corners' edges
    expected = parser.predict(seen)
    np.testing.assert_array_equal(parser.predict(tmp_path / f"turned.{suffix}"), expected)
    with Image.open(tmp_path / f"turned.{suffix}") as again:
        from_pil = rgb_picture(again)
    assert np.abs(from_pil.astype(int) - seen).max() <= 3  # two JPEG decoders


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_pil_images_of_any_mode(people: list[NDArray[np.uint8]], mode: str) -> None:
    rgb = Image.fromarray(people[0])
    if mode == "I;16":
        gray = np.asarray(rgb.convert("L"))
        picture, expected = Image.fromarray(gray.astype(np.uint16) * 256 + 17), np.stack([gray] * 3, axis=2)
    else:
        picture = rgb.convert(mode)
        if mode in ("LA", "RGBA"):
            picture.putalpha(0)  # the stored colours count nevertheless
        expected = np.asarray((rgb.convert("L") if mode == "LA" else picture).convert("RGB"))
    assert picture.mode == mode
    np.testing.assert_array_equal(rgb_picture(picture), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (500, 20)])
def test_any_size_is_parsed(parser: HumanParser, size: tuple[int, int]) -> None:
    assert parser.predict(np.full((*size, 3), 90, np.uint8)).shape == size


def test_an_alpha_stays_that_of_the_classes_it_was_asked_for(
    parser: HumanParser, people: list[NDArray[np.uint8]]
) -> None:
    expected = parser.predict(people[0], alpha_of=[0]).alpha
    asked = [0]
    prediction = parser.predict_iter(people[:1], alpha_of=asked)
    asked.clear()
    array: Any = np.array([0])
    for alpha in (next(prediction).alpha, parser.predict(people[0], alpha_of=array).alpha):
        assert alpha is not None
        assert alpha.any()
        np.testing.assert_array_equal(alpha, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": (1, 0)}, "scales: 0 is not"),  # more of scales and batch_size: test_options
        ({"return_logits": "both"}, "return_logits"),
        ({"borders": "jagged"}, "borders"),
        ({"alpha_of": [3, 20]}, "alpha_of has 20; the class indices are 0 to 19"),
        ({"return_logits": "network", "person_boxes": [(0, 0, 5, 5)]}, "not both"),
    ],
)
def test_impossible_options_are_refused(parser: HumanParser, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parser.predict(np.zeros((8, 8, 3), np.uint8), **options)


def test_boxes_of_several_pictures(parser: HumanParser, people: list[NDArray[np.uint8]]) -> None:
    boxes = [[(0, 0, 20, 20)], None, [], [(0, 0, 9, 9), (5, 5, 30, 30), (-4, 2, 999, 12)], [(0, 0, 64, 150)]]
    together = parser.predict(people, person_boxes=boxes, batch_size=2)
    for picture, own, classes in zip(people, boxes, together, strict=True):
        np.testing.assert_array_equal(classes, parser.predict(picture, person_boxes=own))
    np.testing.assert_array_equal(together[1], parser.predict(people[1]))
    assert not together[2].any()
    np.testing.assert_array_equal(together[4], parser.predict(people[4]))
    with pytest.raises(ValueError, match="5 pictures came with 2"):
        parser.predict(people, person_boxes=[None, None])


def test_without_a_background_class_the_rest_is_ignore(people: list[NDArray[np.uint8]]) -> None:
    everything = DatasetDescription(name="stuff", class_names=("wall", "sky", "tree"), has_background=False)
    classes = tiny_parser(everything).predict(people[2], person_boxes=[(10, 5, 90, 80)])
    inside = tiny_parser(everything).predict(people[2][5:80, 10:90])
    assert (inside == 0).any()
    np.testing.assert_array_equal(classes[5:80, 10:90], inside)
    classes[5:80, 10:90] = 255
    assert (classes == 255).all()


def test_network_logits_belong_to_the_class_map(parser: HumanParser, people: list[NDArray[np.uint8]]) -> None:
    results = parser.predict(people, return_logits="network", borders="published")
    for picture, result in zip(people, results, strict=True):
        assert result.logits is not None
        assert result.logits.shape == (20, *CROP)
        assert result.logits.dtype == np.float16
        np.testing.assert_array_equal(result.classes, parser.predict(picture, borders="published"))
        inverse = affine_matrix(crop_box(picture.shape[:2], CROP), CROP, inverse=True)
        warped = warp_back(result.logits.argmax(0).astype(np.uint8), inverse, picture.shape[:2])
        assert (warped != result.classes).mean() < 0.01  # float16 makes a few ties


def test_smooth_class_maps_are_the_argmax_of_the_logits_at_the_pictures_size(
    parser: HumanParser, people: list[NDArray[np.uint8]]
) -> None:
    for result in parser.predict(people, return_logits="picture"):
        assert result.logits is not None
        best = result.logits.argmax(axis=0)
        assert (best != result.classes).mean() < 0.01  # float16, and OpenCV's steps of 1/32 pixel
        own = np.take_along_axis(result.logits, result.classes[None].astype(np.int64), axis=0)[0]
        assert np.abs(own.astype(float) - result.logits.max(axis=0)).max() < 0.2


class RampEngine:
    """Logits that are known in closed form: 1, and the column and row of the crop."""

    device = CPU

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        rows, columns = torch.meshgrid(torch.arange(CROP[0]), torch.arange(CROP[1]), indexing="ij")
        return torch.stack([torch.ones(CROP), columns, rows]).float().expand(len(images), -1, -1, -1)


@pytest.mark.parametrize("size", [(97, 73), (200, 90), (30, 60)])
def test_picture_logits_are_warped_linearly(size: tuple[int, int]) -> None:
    parser = HumanParser(RampEngine(), DatasetDescription(name="ramp", class_names=("a", "b", "c")), CROP)
    logits = parser.predict(np.zeros((*size, 3), np.uint8), mirror=False, return_logits="picture").logits
    assert logits is not None
    assert logits.shape == (3, *size)
    assert logits.dtype == np.float16
    assert (logits[0] == 1).all()  # nothing fades towards the picture's edges
    forward = affine_matrix(crop_box(size, CROP), CROP)
    y, x = np.mgrid[: size[0], : size[1]]
    columns = forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]
    rows = forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]
    np.testing.assert_allclose(logits[1], columns.clip(0, CROP[1] - 1), atol=0.1)  # float16, OpenCV's 1/32 steps
    np.testing.assert_allclose(logits[2], rows.clip(0, CROP[0] - 1), atol=0.1)


def test_iteration_is_lazy_and_in_order(parser: HumanParser, people: list[NDArray[np.uint8]]) -> None:
    taken = 0

    def endless() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        while True:
            taken += 1
            yield people[taken % 5]

    for number, result in zip(range(1, 20), parser.predict_iter(endless(), batch_size=3), strict=False):
        assert result.classes.shape == SIZES[number % 5]
        assert taken <= number + 6
        assert result.logits is None


def test_threads_share_a_parser(parser: HumanParser, people: list[NDArray[np.uint8]]) -> None:
    expected = parser.predict(people)
    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(lambda _: parser.predict(people, batch_size=2), range(8)):
            for classes, right in zip(results, expected, strict=True):
                np.testing.assert_array_equal(classes, right)


def loads(monkeypatch: pytest.MonkeyPatch, num_classes: int, description: DatasetDescription | None = None) -> None:
    """Let every checkpoint hold a tiny network."""
    loaded: Any = LoadedModel(tiny_network(num_classes), description)  # type: ignore[arg-type]
    monkeypatch.setattr(utils.inference.loading, "load_model", lambda path, input_size: loaded)


def test_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    loads(monkeypatch, 20)
    parser = HumanParser.from_checkpoint("published.pth", device="cpu")
    assert parser.class_names[13] == "Face"
    assert parser.flip_pairs == ((14, 15), (16, 17), (18, 19))
    assert (parser.num_classes, parser.input_size, parser.device) == (20, CROP, CPU)
    assert parser.palette.shape == (256, 3)
    assert parser.palette[13].tolist() == [0, 0, 255]


def test_a_snapshots_own_classes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    own = DatasetDescription(name="mine", class_names=("a", "b", "c"), flip_pairs=((1, 2),))
    loads(monkeypatch, 3, own)
    parser = HumanParser.from_checkpoint("snapshot.pth", "cpu")
    assert parser.description is own
    assert parser.flip_pairs == ((1, 2),)
    other = DatasetDescription(name="other", class_names=("x", "y", "z"))
    assert HumanParser.from_checkpoint("snapshot.pth", "cpu", description=other).class_names == ("x", "y", "z")


def test_unknown_classes_get_numbers_and_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loads(monkeypatch, 7)
    parser = HumanParser.from_checkpoint("seven.pth", "cpu")
    assert parser.class_names[6] == "class 6"
    assert parser.flip_pairs == ()
    assert "'seven.pth' does not say what its 7 classes are" in caplog.text
    caplog.clear()
    parser = HumanParser.from_checkpoint("seven.pth", "cpu", description="pascal_person_part")
    assert parser.class_names == BUILT_IN["pascal_person_part"].class_names
    assert not caplog.text


def test_a_description_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loads(monkeypatch, 2)
    file = tmp_path / "dataset.json"
    file.write_text('{"name": "two", "classes": ["no", "yes"], "flip_pairs": [], "ignore_label": 255}')
    for named in (file, str(tmp_path)):
        assert HumanParser.from_checkpoint("two.pth", "cpu", description=named).class_names == ("no", "yes")
    with pytest.raises(DatasetError, match="neither one of the built-in"):
        HumanParser.from_checkpoint("two.pth", "cpu", description="lipp")
    file.unlink()
    file.symlink_to("nowhere.json")
    with pytest.raises(DatasetError, match=r"dataset\.json is a link to nowhere\.json, which does not exist"):
        HumanParser.from_checkpoint("two.pth", "cpu", description=tmp_path)
    with pytest.raises(ValueError, match=r"'two.pth' has 2 classes, but the description 'lip' 20"):
        HumanParser.from_checkpoint("two.pth", "cpu", description="lip")


def test_onnx_files_go_to_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine(RampEngine):
        metadata = NetworkMetadata(DatasetDescription(name="ramp", class_names=("a", "b", "c")), CROP, "logits")

        def __init__(self, path: str, cores: int) -> None:
            assert path == "model.onnx"

    monkeypatch.setattr(utils.inference.loading, "OnnxEngine", Engine)
    parser = HumanParser.from_checkpoint("model.onnx")
    assert parser.class_names == ("a", "b", "c")
    assert parser.predict(np.zeros((9, 8, 3), np.uint8)).shape == (9, 8)
    with pytest.raises(ValueError, match=r"'model\.onnx' says its classes itself; leave the description out"):
        HumanParser.from_checkpoint("model.onnx", description="lip")
