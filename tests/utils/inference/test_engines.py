"""Engines: each agrees with PyTorch, at any size, with scales and mirror; and what they refuse."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import utils.inference.loading
from dataset.people import draw_person
from modules.winograd import use_winograd
from networks import CSENet
from tests.support.building import without_middle_stages
from tests.support.tiny_parser import CROP, LIP, tiny_network
from utils import device
from utils.checkpoint.files import CheckpointError
from utils.checkpoint.metadata import NetworkMetadata
from utils.checkpoint.snapshots import LoadedModel
from utils.export.export import export
from utils.inference import HumanParser
from utils.inference.crop_parser import CropParser
from utils.inference.engines import Engine, OnnxEngine, OpenVinoEngine, TorchEngine
from utils.inference.folding import folded
from utils.inference.loading import load_engine

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
MULTI_SCALE = (0.75, 1.0, 1.25)


def need_openvino() -> None:
    """Skip a test where OpenVINO is not installed, without importing it."""
    if find_spec("openvino") is None:
        pytest.skip('pip install -e ".[openvino]"')


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript", reason='pip install -e ".[export]"')
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    network: Any = tiny_network()
    export(network, NetworkMetadata(LIP, CROP, "logits"), path, "onnx")
    return path


@pytest.fixture(scope="module", params=["onnxruntime", "openvino", "openvino with ONNX"])
def other(request: pytest.FixtureRequest, tiny_file: Path) -> Engine:
    """The tiny network on every engine but PyTorch."""
    if request.param == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
        return OnnxEngine(tiny_file, cores=2)
    need_openvino()
    return OpenVinoEngine(tiny_file if "ONNX" in request.param else tiny_network(), cores=2)


@pytest.mark.parametrize(("scales", "mirror"), [((1.0,), True), ((1.0,), False), (MULTI_SCALE, True)])
def test_every_engine_agrees_with_pytorch(other: Engine, scales: tuple[float, ...], mirror: bool) -> None:
    people = [torch.from_numpy(draw_person(seed, CROP)[0]) for seed in range(3)]
    images = torch.stack(people).permute(0, 3, 1, 2).contiguous()
    options: Any = {"scales": scales, "mirror": mirror, "flip_pairs": LIP.flip_pairs}
    expected = CropParser(TorchEngine(tiny_network(), CPU), **options).logits(images)
    logits = CropParser(other, **options).logits(images)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-3)
    assert torch.equal(logits.argmax(dim=1), expected.argmax(dim=1))


@pytest.mark.parametrize("shape", [(1, 3, 65, 98), (3, 3, 131, 77)])
def test_every_engine_takes_images_of_any_size(other: Engine, shape: tuple[int, ...]) -> None:
    images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(other(images), TorchEngine(tiny_network(), CPU)(images), rtol=0, atol=1e-3)


@pytest.mark.slow
def test_openvino_computes_layers_of_all_kinds_at_odd_sizes(short_network: CSENet) -> None:
    """The only one with layers of all kinds; converting takes seconds."""
    need_openvino()
    network = without_middle_stages(short_network)
    engine = OpenVinoEngine(network, cores=1)
    for shape in ((1, 3, 97, 97), (2, 3, 140, 67)):
        images = torch.randn(shape)
        with torch.inference_mode():
            expected = network(images).final
        torch.testing.assert_close(engine(images), expected, rtol=0, atol=1e-3)


def test_deterministic_openvino_has_the_same_bits_whatever_the_batch(tiny_file: Path) -> None:
    need_openvino()
    images = torch.randint(256, (5, 3, *CROP), dtype=torch.uint8)
    results = []
    for cores, size in ((1, 1), (3, 5)):
        engine = OpenVinoEngine(tiny_file, cores=cores, deterministic=True)
        parser = CropParser(engine, deterministic=True, cores=cores)
        results.append(torch.cat([parser.logits(part) for part in images.split(size)]))
    assert torch.equal(*results)


def test_openvino_reports_nothing_to_its_makers() -> None:
    need_openvino()
    OpenVinoEngine(tiny_network(), cores=1)
    assert "openvino.tools.ovc.telemetry_stub" in sys.modules  # what it uses where its package for that is missing


def test_signals_are_survived_where_openvinos_engines_have_come_and_gone() -> None:
    """OpenVINO gives the thread a stack for signal handlers, and took it away while another engine had it noted."""
    need_openvino()
    program = (
        "import gc, os, signal; from tests.support.tiny_parser import tiny_network\n"
        "from utils.inference.engines import OpenVinoEngine\n"
        "first = OpenVinoEngine(tiny_network(), cores=1); second = OpenVinoEngine(tiny_network(), cores=1)\n"
        "del first; gc.collect(); del second; gc.collect()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('still here'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "still here\n"), ended.stderr


def test_a_parser_may_have_any_engine(tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_openvino()
    loaded: Any = LoadedModel(tiny_network(), LIP)  # type: ignore[arg-type]
    monkeypatch.setattr(utils.inference.loading, "load_model", lambda path, input_size: loaded)
    picture = draw_person(5, (120, 80))[0][..., ::-1]
    expected = HumanParser.from_checkpoint("tiny.pth", "cpu").predict(picture)
    for path, engine in (("tiny.pth", "openvino"), (tiny_file, "openvino"), (tiny_file, None)):
        for deterministic in (False, True):
            parser = HumanParser.from_checkpoint(path, engine=engine, deterministic=deterministic)
            assert parser.class_names == LIP.class_names
            np.testing.assert_array_equal(parser.predict(picture), expected)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("a.pth", {"engine": "tensorrt"}, "engine is 'tensorrt'; it must be one of torch, openvino, onnxruntime"),
        ("a.pth", {"engine": "onnxruntime"}, "export.py --checkpoint 'a.pth' --format onnx --output parser.onnx"),
        ("a.onnx", {"engine": "torch"}, "'a.onnx': PyTorch does not compute ONNX files; choose the engine"),
        ("a.onnx", {"amp": "bf16"}, "the engine onnxruntime computes in full precision; leave amp out"),
        ("a.onnx", {"engine": "openvino", "amp": "fp16"}, "fp16 needs a GPU"),
        ("a.onnx", {"input_size": (97, 97)}, "'a.onnx' says its input size itself; leave it out"),
        ("a.onnx", {"device": "cuda"}, "the engine onnxruntime computes on the CPU alone, not on cuda; leave the"),
        (
            "a.pth",
            {"device": "cuda", "engine": "openvino"},
            "the engine openvino computes on the CPU alone, not on cuda",
        ),
        ("a.pth", {"device": "toaster"}, "'toaster' is not a device"),
        ("a.pth", {"device": "cuda:99"}, "there is no device 'cuda:99'"),
        ("a.pth", {"amp": "int3"}, "amp is 'int3'"),
    ],
)
def test_options_that_do_not_fit_are_refused(path: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        HumanParser.from_checkpoint(path, **options)


def test_onnx_files_are_computed_on_the_cpu_where_there_is_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    with pytest.raises(CheckpointError, match=r"'a\.onnx' is not a file"):
        load_engine("a.onnx")


class WithoutBf16:
    """Stands in for OpenVINO on a processor that does not compute in bf16."""

    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["FP32", "INT8"]


def test_bf16_is_refused_by_openvino_where_the_processor_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", WithoutBf16)
    with pytest.raises(ValueError, match="does not compute in bf16"):
        OpenVinoEngine(tiny_network(), cores=1, amp="bf16")


def test_missing_openvino_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(CheckpointError, match="pip install openvino"):
        OpenVinoEngine(tiny_network(), cores=1)


def test_weights_in_bf16_from_the_start_give_the_bits_that_autocast_gives(short_network: CSENet) -> None:
    images = torch.randn(1, 3, 65, 65).to(memory_format=torch.channels_last)
    engine = TorchEngine(short_network, CPU, amp="bf16")
    assert sum(weight.dtype == torch.bfloat16 for weight in engine.model.parameters()) > 100
    in_float32 = folded(short_network).to(memory_format=torch.channels_last)
    use_winograd(in_float32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = in_float32(images).final
    torch.testing.assert_close(engine(images), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("capabilities", "slow"),
    [
        ({"architecture": "x86_64", "avx2": True, "avx512_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_slow_bf16_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capabilities: dict[str, Any], slow: bool
) -> None:
    device.warn_of_slow_amp.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    for _ in range(2):
        TorchEngine(tiny_network(), CPU, amp="bf16")
    assert caplog.text.count("PyTorch emulates it, which is slower than --amp off") == int(slow)
    device.warn_of_slow_amp.cache_clear()


def test_contradicting_files_are_refused_by_openvino_too(tiny_file: Path, tmp_path: Path) -> None:
    need_openvino()
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(CheckpointError, match="not an ONNX file, or is damaged"):
        OpenVinoEngine(tmp_path / "text.onnx", cores=1)
    onnx = pytest.importorskip("onnx")
    model = onnx.load(tiny_file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(CheckpointError, match=r"only files that export\.py wrote"):
        OpenVinoEngine(tmp_path / "other.onnx", cores=1)
