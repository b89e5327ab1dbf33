"""Exports: equal to the network, usable at any size, readable by what they are for, never half written.

Most tests export a tiny network; the real layers go through once, behind a backbone with one block a stage.
"""

import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import export as export_script
import utils.export.export
from dataset.descriptions import BUILT_IN
from dataset.people import draw_person
from networks import CSENet, CSENetOutput
from networks.resnet import BLOCKS
from tests.golden.recorded import published_shapes
from tests.support.building import empty_network, without_middle_stages
from tests.support.tiny_network import TinyNetwork
from tests.support.tiny_parser import CROP, tiny_network
from utils.checkpoint import CheckpointError
from utils.checkpoint.metadata import NetworkMetadata, Result, read_metadata
from utils.checkpoint.snapshots import load_model, snapshot_content, write_snapshot
from utils.export.export import METADATA_FILE, WEIGHTS_ALONE, ExportError, export
from utils.export.verify import Comparison, Run, VerificationError, check, compare, compare_batch
from utils.inference import HumanParser
from utils.inference.crop_parser import CropParser
from utils.inference.engines import FinalLogits, OnnxEngine, TorchEngine, open_session, run_session

ROOT = Path(__file__).parents[3]
LIP = BUILT_IN["lip"]
CPU = torch.device("cpu")
MULTI_SCALE = (0.75, 1.0, 1.25)


def metadata(model: Any, result: Result = "logits") -> NetworkMetadata:
    return NetworkMetadata(LIP, model.input_size, result)


@pytest.fixture
def onnx() -> Any:
    pytest.importorskip("onnxscript", reason='pip install -e ".[export]"')
    pytest.importorskip("onnxruntime", reason='pip install -e ".[export]"')
    return pytest.importorskip("onnx", reason='pip install -e ".[export]"')


@pytest.fixture(scope="module")
def tiny() -> Any:
    return tiny_network()


@pytest.fixture(scope="module")
def tiny_file(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript", reason='pip install -e ".[export]"')
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    export(tiny, metadata(tiny), path, "onnx")
    return path


def crops(count: int, size: tuple[int, int]) -> Tensor:
    """Return drawn people (N, 3, h, w) uint8 BGR."""
    people = [torch.from_numpy(draw_person(seed, size)[0]) for seed in range(count)]
    return torch.stack(people).permute(0, 3, 1, 2).contiguous()


@pytest.mark.usefixtures("onnx")
@pytest.mark.slow
def test_the_whole_network_becomes_onnx_for_any_size(short_network: CSENet, tmp_path: Path) -> None:
    short_network = without_middle_stages(short_network)
    path = tmp_path / "new folder" / "short.onnx"
    comparisons = export(short_network, metadata(short_network), path, "onnx")
    assert {c.shape[0] for c in comparisons} == {1, 3}
    assert len({c.shape[2:] for c in comparisons}) == 3
    assert max(c.difference or 0 for c in comparisons) < 1e-4
    assert all(c.equal == c.pixels for c in comparisons)
    assert os.listdir(path.parent) == ["short.onnx"]
    session = open_session(path)
    for shape in ((1, 3, 66, 131), (2, 3, 140, 65)):
        images = torch.randn(*shape)
        with torch.inference_mode():
            expected = short_network(images).final
        torch.testing.assert_close(run_session(session, images), expected, rtol=0, atol=1e-4)


def test_onnx_files_describe_themselves(tiny_file: Path, onnx: Any) -> None:
    model = onnx.load(tiny_file)
    assert [(i.domain, i.version) for i in model.opset_import] == [("", 18)]
    image, logits = model.graph.input[0], model.graph.output[0]
    assert (image.name, logits.name) == ("images", "logits")
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == ["batch", 3, "height", "width"]
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(entries["class_names"]) == list(LIP.class_names)
    assert json.loads(entries["colours"])[13] == [0, 0, 255]
    assert json.loads(entries["flip_pairs"]) == [[14, 15], [16, 17], [18, 19]]
    assert json.loads(entries["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(entries["std"]) == [0.229, 0.224, 0.225]
    assert entries["channel_order"] == "BGR"
    assert read_metadata(entries, "it") == NetworkMetadata(LIP, CROP, "logits")


@pytest.mark.parametrize(("scales", "mirror"), [((1.0,), True), ((1.0,), False), (MULTI_SCALE, True)])
def test_crops_are_parsed_alike_with_onnxruntime_and_with_pytorch(
    tiny: Any, tiny_file: Path, scales: tuple[float, ...], mirror: bool
) -> None:
    images = crops(3, CROP)
    engine = OnnxEngine(tiny_file)
    assert engine.metadata == NetworkMetadata(LIP, CROP, "logits")
    expected = CropParser(TorchEngine(tiny, CPU), scales=scales, mirror=mirror, flip_pairs=LIP.flip_pairs)
    parser = CropParser(engine, scales=scales, mirror=mirror, flip_pairs=LIP.flip_pairs, deterministic=True)
    logits = parser.logits(images)
    assert logits.shape == (3, 20, *CROP)
    torch.testing.assert_close(logits, expected.logits(images), rtol=0, atol=1e-4)
    assert torch.equal(parser.classes(images), logits.argmax(dim=1).to(torch.uint8))
    alone = CropParser(engine, scales=scales, mirror=mirror, flip_pairs=LIP.flip_pairs, deterministic=True, cores=1)
    assert torch.equal(alone.logits(images[1:2]), logits[1:2])


def test_human_parser_reads_onnx(tiny: Any, tiny_file: Path) -> None:
    picture = draw_person(5, (120, 80))[0][..., ::-1]
    expected = HumanParser(TorchEngine(tiny, CPU), LIP, CROP).predict(picture)
    parser = HumanParser.from_checkpoint(tiny_file)
    assert parser.class_names == LIP.class_names
    assert (parser.predict(picture) == expected).mean() > 0.9999


@pytest.mark.usefixtures("onnx")
def test_onnx_can_end_in_classes(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "classes.onnx"
    comparisons = export(tiny, metadata(tiny, "classes"), path, "onnx")
    assert all(c.difference is None for c in comparisons)
    classes = run_session(open_session(path), torch.randn(2, 3, 70, 81))
    assert (classes.shape, classes.dtype) == ((2, 70, 81), torch.uint8)
    with pytest.raises(CheckpointError, match="without --classes"):
        OnnxEngine(path)


@pytest.mark.parametrize("result", ["logits", "classes"])
def test_programs_need_nothing_of_this_project(tiny: Any, tmp_path: Path, result: Result) -> None:
    path = tmp_path / "tiny.pt2"
    assert all(c.equal == c.pixels for c in export(tiny, metadata(tiny, result), path, "torch"))
    files = {METADATA_FILE: ""}
    run = torch.export.load(path, extra_files=files).module()
    assert read_metadata(json.loads(files[METADATA_FILE]), "it") == metadata(tiny, result)
    shape = (1, 20, 18, 21) if result == "logits" else (1, 70, 81)
    assert run(torch.randn(1, 3, 70, 81)).shape == shape


@pytest.fixture
def _one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare on one image where the file has weights alone: other weights are seen at any size."""

    def compare(model: CSENet, run: Run, *, classes: bool) -> list[Comparison]:
        return [compare_batch(model, run, "random", torch.randn(1, 3, 65, 65), classes=classes)]

    monkeypatch.setattr(utils.export.export, "compare", compare)


@pytest.mark.usefixtures("_one_image")
@pytest.mark.slow
def test_the_command_line_writes_the_published_layout(
    short_network: CSENet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a network whose depth is that of the published one by name; it has fewer blocks."""
    monkeypatch.setitem(BLOCKS, 101, (1, 1, 1, 1))
    network = empty_network(input_size=(65, 81))
    network.load_state_dict(short_network.state_dict(), assign=True)
    snapshot, output = tmp_path / "snapshot.pth", tmp_path / "published.pth"
    write_snapshot(snapshot, snapshot_content(network, LIP))
    assert export_script.main(["--checkpoint", str(snapshot), "--format", "published", "--output", str(output)]) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert "logits differ by at most 0.0e+00, classes agree on 100.000 %" in printed.out
    state = torch.load(output, weights_only=True)
    assert len(state) == len(network.state_dict())
    assert state.keys() <= {f"module.{name}" for name in published_shapes()}
    assert torch.equal(state["module.seg3.3.bias"], network.state_dict()["final_head.classifier.conv.bias"])
    assert load_model(output, input_size=(65, 81)).model.num_classes == 20


@pytest.mark.usefixtures("short_backbones", "_one_image")
@pytest.mark.slow
def test_a_safetensors_file_is_all_that_a_parser_needs(short_network: CSENet, tmp_path: Path) -> None:
    path = tmp_path / "parser.safetensors"
    own = replace(BUILT_IN["cihp"], name="mine", colours=tuple((i, 2 * i, 255 - i) for i in range(20)))
    about = NetworkMetadata(own, short_network.input_size, "logits")
    comparisons = export(short_network, about, path, "safetensors")
    assert all(c.difference == 0 and c.equal == c.pixels for c in comparisons)
    loaded = load_model(path)
    assert (loaded.description, loaded.model.input_size) == (own, short_network.input_size)
    tensors = loaded.model.state_dict()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in short_network.state_dict().items())
    with safe_open(path, framework="pt") as opened:
        entries = opened.metadata()
    assert json.loads(entries["colours"])[3] == [3, 6, 252]
    assert (entries["channel_order"], json.loads(entries["mean"])) == ("BGR", [0.485, 0.456, 0.406])
    parser = HumanParser.from_checkpoint(path, device="cpu")
    assert (parser.description, parser.palette[3].tolist()) == (own, [3, 6, 252])
    picture = draw_person(5, (120, 90))[0]
    expected = HumanParser(TorchEngine(short_network, CPU), own, short_network.input_size).predict(picture)
    assert np.array_equal(parser.predict(picture), expected)


@pytest.mark.parametrize("file_format", WEIGHTS_ALONE)
def test_formats_of_weights_alone_cannot_end_in_classes(network: CSENet, tmp_path: Path, file_format: str) -> None:
    with pytest.raises(ExportError, match="this format holds weights"):
        export(network, metadata(network, "classes"), tmp_path / "x", file_format)
    assert os.listdir(tmp_path) == []


def test_the_published_layout_is_of_one_depth(short_network: CSENet, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="depth 101, this one of depth 14"):
        export(short_network, metadata(short_network), tmp_path / "x.pth", "published")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda logits: logits + 0.01, "logits differ from PyTorch's by more than 0.001"),
        (lambda logits: logits * torch.nan, "logits differ"),
    ],
)
def test_a_file_that_differs_is_not_written(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    def write(model: Any, metadata: NetworkMetadata, path: Path) -> Any:
        path.write_text("different")
        return lambda images: change(model(images).final)

    monkeypatch.setitem(utils.export.export.FORMATS, "onnx", write)
    output = tmp_path / "tiny.onnx"
    output.write_text("an earlier export")
    with pytest.raises(VerificationError, match=message):
        export(tiny, metadata(tiny), output, "onnx")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("tiny.onnx", "an earlier export")]


@pytest.mark.parametrize("differences", [(0.0, math.nan), (math.nan, 0.0), (0.0, 2e-3)])
def test_one_wrong_batch_is_enough_also_where_it_is_not_a_number(differences: tuple[float, float]) -> None:
    comparisons = [Comparison("any", (1, 3, 65, 65), difference, 65 * 65, 65 * 65) for difference in differences]
    with pytest.raises(VerificationError, match=r"^'x\.onnx' was not written: its logits differ .* \(any, 1 x 3 x"):
        check(comparisons, "x.onnx")


def test_classes_that_differ_are_refused(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(model: Any, metadata: NetworkMetadata, path: Path) -> Any:
        return lambda images: torch.zeros(len(images), *images.shape[2:], dtype=torch.uint8)

    monkeypatch.setitem(utils.export.export.FORMATS, "onnx", write)
    with pytest.raises(VerificationError, match=r"99\.99 % are needed"):
        export(tiny, metadata(tiny, "classes"), tmp_path / "tiny.onnx", "onnx")


def test_rounding_may_decide_ties_of_the_edge_branch() -> None:
    """Only differences next to a pixel where edge and no edge are equally likely are forgiven."""
    edge = torch.ones(1, 2, 20, 20) * torch.tensor([1.0, 0.0])[:, None, None]
    edge[0, 1, 5, 5] = 1.00001
    final = torch.zeros(1, 3, 20, 20)
    outputs = CSENetOutput(final, final, final, edge, final, final)
    model: Any = lambda images: outputs  # noqa: E731
    near, far = final.clone(), final.clone()
    near[0, 0, 6, 4], far[0, 0, 7, 5] = 0.5, 0.5
    images = torch.zeros(1, 3, 80, 80)
    assert compare_batch(model, lambda _: near, "", images, classes=False).difference == 0
    assert compare_batch(model, lambda _: far, "", images, classes=False).difference == 0.5


@pytest.mark.parametrize(
    ("crop", "sizes"),
    [((129, 97), [(65, 65), (129, 97), (96, 121)]), ((70, 65), [(65, 65), (70, 65), (65, 81)])],
)
def test_networks_are_checked_at_three_sizes_that_they_accept(
    crop: tuple[int, int], sizes: list[tuple[int, int]]
) -> None:
    model: Any = TinyNetwork(20, crop).eval()
    comparisons = compare(model, FinalLogits(model), classes=False)
    assert list(dict.fromkeys(c.shape[2:] for c in comparisons)) == sizes


def test_missing_packages_are_named(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r'pip install -e "\.\[export\]"'):
        export(tiny, metadata(tiny), tmp_path / "tiny.onnx", "onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CheckpointError, match=r"pip install onnxruntime"):
        OnnxEngine(tmp_path / "tiny.onnx")


@pytest.mark.usefixtures("onnx")
def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a file"):
        OnnxEngine(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(CheckpointError, match="not an ONNX file, or is damaged"):
        OnnxEngine(tmp_path / "text.onnx")


def test_onnx_files_of_others_are_refused(tiny_file: Path, tmp_path: Path, onnx: Any) -> None:
    model = onnx.load(tiny_file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match=r"only files that export\.py wrote"):
        OnnxEngine(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("description", json.dumps(BUILT_IN["atr"].to_dict()), "its network has 20 classes, its description names 18"),
        ("description", '"lip"', "has damaged metadata"),
        ("input_size", "[0, 0]", "has damaged metadata (input size 0 x 0"),
        ("input_size", "[473, -473]", "has damaged metadata (input size 473 x -473"),
        ("input_size", '["473", "473"]', "has damaged metadata (input size ['473', '473'] is not two whole numbers"),
        ("input_size", '"473,473"', "has damaged metadata (input size '473,473' is not two whole numbers"),
    ],
)
def test_onnx_files_that_say_impossible_things_are_refused(
    tiny_file: Path, tmp_path: Path, onnx: Any, entry: str, value: str, message: str
) -> None:
    model = onnx.load(tiny_file)
    next(prop for prop in model.metadata_props if prop.key == entry).value = value
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(CheckpointError) as caught:
        HumanParser.from_checkpoint(tmp_path / "changed.onnx")
    assert message in str(caught.value)


def test_wrong_options_end_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from export import main

    (tmp_path / "text.pth").write_text("no checkpoint")
    output = ["--output", str(tmp_path / "x")]
    assert main(["--checkpoint", str(tmp_path / "text.pth"), "--format", "torch", *output]) == 2
    assert capsys.readouterr().err.startswith(f"export.py: '{tmp_path / 'text.pth'}' ")
    assert not (tmp_path / "x").exists()
    with pytest.raises(SystemExit):
        main(["--checkpoint", "x", "--format", "published", "--classes", *output])
    assert "--classes is for onnx and torch" in capsys.readouterr().err
