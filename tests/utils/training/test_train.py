"""Trainings as a user runs them: processes that are interrupted, killed, continued and spread out."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from dataset.people import make_dataset
from tests.support import started
from tests.support.building import empty_network
from tests.support.tiny_network import TinyNetwork
from tests.support.weights import published
from utils.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[3]
TINY = ROOT / "tests" / "support" / "train_tiny.py"
STEPS = 12  # 24 images, 4 a step, 2 epochs

Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 + 6 drawn people."""
    return make_dataset(tmp_path_factory.mktemp("people"), num_train=24, num_val=6, size=(96, 72), workers=1)


def arguments(data: Path, folder: Path, *options: str) -> list[str]:
    settings = "--input-size 65,65 --batch-size 4 --epochs 2 --num-workers 0 --val-every 1 --deterministic --device cpu"
    paths = ["--data-dir", str(data), "--snapshot-dir", str(folder)]
    return [*paths, *settings.split(), "--log-every", "1", *options]


@pytest.fixture
def start(people: Path, tmp_path: Path) -> Start:
    """Train the tiny network on the drawn people in `tmp_path / name`; environment variables as keywords."""
    return lambda name, *options, **environment: started.run(
        TINY, arguments(people, tmp_path / name, *options), environment=environment
    )


@pytest.fixture
def start_here(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Start]:
    """Do the same as `start` in this process, where nothing gets killed: without seconds of importing PyTorch."""

    def run(name: str, *options: str, **environment: str) -> Any:
        command = arguments(people, tmp_path / name, *options)
        capfd.readouterr()
        with monkeypatch.context() as patch:
            for variable, value in environment.items():
                patch.setenv(variable, value)
            status = train.main(command, build_network=TinyNetwork)  # type: ignore[arg-type]
        return subprocess.CompletedProcess(command, status, *capfd.readouterr())

    yield run
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def uninterrupted(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    started.run(TINY, arguments(people, folder)).check_returncode()
    return folder


@pytest.fixture(scope="module")
def in_two_processes(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes, with the same images a step, that nothing happened to."""
    folder = tmp_path_factory.mktemp("two")
    started.run_together(2, TINY, arguments(people, folder, "--batch-size", "2")).check_returncode()
    return folder


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "DEMO_epoch_Last.pth")["model"]


def assert_same(one: Path, other: Path) -> None:
    """Everything that training goes on from is equal to the last bit."""
    a, b = (read_checkpoint(folder / "DEMO_epoch_Last.pth") for folder in (one, other))
    assert a["step"] == b["step"] == STEPS
    for name, tensor in a["model"].items():
        assert torch.equal(tensor, b["model"][name]), name
    for index, state in a["optimizer"]["state"].items():
        assert torch.equal(state["momentum_buffer"], b["optimizer"]["state"][index]["momentum_buffer"])
    assert a["best_mean_iou"] == b["best_mean_iou"]


def log_lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def interrupt(people: Path, folder: Path, number: signal.Signals, at_step: int, *options: str) -> tuple[int, str]:
    """Start a run, send it a signal once it has logged a step, and return its exit status and output."""
    said = folder.with_suffix(".txt")
    slow = {"STEP_SECONDS": "0.3"}
    process = started.start(TINY, arguments(people, folder, *options), environment=slow, output=said)
    deadline = time.monotonic() + 60
    while not ((folder / "log.jsonl").exists() and len(log_lines(folder, "step")) >= at_step):
        assert time.monotonic() < deadline
        assert process.poll() is None, said.read_text()
        time.sleep(0.05)
    os.killpg(process.pid, number)
    process.communicate()
    return process.wait(), said.read_text()


def test_a_run_leaves_snapshots_and_logs(uninterrupted: Path) -> None:
    best, last = (read_checkpoint(uninterrupted / f"DEMO_epoch_{name}.pth") for name in ("Best", "Last"))
    assert "optimizer" not in best
    assert last["description"]["classes"][1] == "Hat"
    assert last["input_size"] == [65, 65]
    assert last["options"]["learning_rate"] == 2.5e-3
    steps = log_lines(uninterrupted, "step")
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    for i, line in enumerate(steps):
        assert line["learning_rate"] == pytest.approx(2.5e-3 * (1 - i / STEPS) ** 0.9)
        parsing = sum(
            w * (line[f"{n}_ce"] + line[f"{n}_lovasz"]) for n, w in (("coarse", 0.4), ("body", 1), ("final", 1))
        )
        assert line["loss"] == pytest.approx(parsing + line["edge"] + 45 * (line["rows"] + line["cols"]), rel=1e-5)
    validations = log_lines(uninterrupted, "validation")
    assert len(validations) == 2
    assert max(line["mean_iou"] for line in validations) == best["best_mean_iou"] == last["best_mean_iou"]
    assert list((uninterrupted / "tensorboard").glob("events*"))


def test_validations_log_the_published_measure_and_the_one_with_exact_centres(uninterrupted: Path) -> None:
    board = EventAccumulator(str(uninterrupted / "tensorboard")).Reload()
    validations = log_lines(uninterrupted, "validation")
    assert all(line["exact_centre/mean_iou"] != line["mean_iou"] for line in validations), "96 x 72 is even"
    for name in ("mean_iou", "exact_centre/mean_iou", "present_classes/mean_iou", "iou/Left-shoe"):
        shown = [event.value for event in board.Scalars(f"validation/{name}")]
        assert shown == pytest.approx([line[name] for line in validations])


def test_workers_and_kept_snapshots_do_not_change_a_run(start: Start, uninterrupted: Path, tmp_path: Path) -> None:
    assert start("workers", "--num-workers", "2", "--keep-every", "1").returncode == 0
    assert_same(tmp_path / "workers", uninterrupted)
    kept = [read_checkpoint(tmp_path / "workers" / f"DEMO_epoch_{number}.pth")["step"] for number in (1, 2)]
    assert kept == [STEPS // 2, STEPS]


@pytest.mark.parametrize(("at_step", "workers"), [(2, "0"), (8, "2")])
@pytest.mark.slow
def test_sigterm_saves_and_the_continued_run_has_the_same_bits(
    people: Path, start_here: Start, uninterrupted: Path, tmp_path: Path, at_step: int, workers: str
) -> None:
    """With workers the signal goes to them too, as a terminal and a cluster send it."""
    folder = tmp_path / "stopped"
    status, output = interrupt(people, folder, signal.SIGTERM, at_step, "--num-workers", workers)
    assert status == 128 + signal.SIGTERM
    assert output.count("stopping after this step") == 1
    assert "continue with --resume auto" in output
    stopped = read_checkpoint(folder / "DEMO_epoch_Last.pth")
    assert at_step <= stopped["step"] < STEPS
    assert stopped["step"] % 6, "the run was to be stopped in the middle of an epoch"
    result = start_here("stopped", "--resume", "auto")
    assert f"step {stopped['step']} of {STEPS}" in result.stdout
    assert_same(folder, uninterrupted)


def test_a_killed_run_goes_on_from_its_last_epoch(
    people: Path, start_here: Start, uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    status, _ = interrupt(people, folder, signal.SIGKILL, 9)
    assert status == -signal.SIGKILL
    assert read_checkpoint(folder / "DEMO_epoch_Last.pth")["step"] == 6
    assert start_here("killed", "--resume", str(folder / "DEMO_epoch_Last.pth")).returncode == 0
    assert_same(folder, uninterrupted)


def test_a_kill_while_writing_leaves_the_snapshot_before(
    start: Start, start_here: Start, uninterrupted: Path, tmp_path: Path
) -> None:
    result = start("half", DIE_WRITING_STEP=str(STEPS))
    assert result.returncode == -signal.SIGKILL
    folder = tmp_path / "half"
    (partial,) = folder.glob(".partial-*")  # it was to die while writing
    os.utime(partial, (0, 0))  # what was touched within the hour may be another program's
    assert read_checkpoint(folder / "DEMO_epoch_Last.pth")["step"] == 6
    assert start_here("half", "--resume", "auto").returncode == 0
    assert_same(folder, uninterrupted)
    assert not list(folder.glob(".partial-*"))


def test_a_run_moves_between_a_gpu_and_a_cpu(
    start: Start, start_here: Start, uninterrupted: Path, tmp_path: Path
) -> None:
    """The memory of a GPU's weights and momentum is ordered otherwise: channels last."""
    assert start("moved", DIE_WRITING_STEP=str(STEPS)).returncode
    path = tmp_path / "moved" / "DEMO_epoch_Last.pth"
    content = torch.load(path, weights_only=True)
    for state in content["optimizer"]["state"].values():
        if state["momentum_buffer"].ndim == 4:
            state["momentum_buffer"] = state["momentum_buffer"].contiguous(memory_format=torch.channels_last)
    torch.save(content, path)
    assert start_here("moved", "--resume", "auto").returncode == 0
    assert_same(tmp_path / "moved", uninterrupted)


def test_an_error_ends_the_run_and_its_workers(start: Start) -> None:
    """The workers leave SIGTERM to the main process, and a terminated process is waited for at exit."""
    result = start("failed", "--num-workers", "2", FAIL_AT_STEP="3")
    assert result.returncode == 2
    assert result.stderr.rstrip().endswith(
        "train.py: the memory is too small; choose a smaller --batch-size, and --accumulate"
    )


def test_an_epoch_outlives_an_error_in_its_validation(start_here: Start, uninterrupted: Path, tmp_path: Path) -> None:
    assert start_here("failed", FAIL_IN_VALIDATION="1").returncode == 2
    assert read_checkpoint(tmp_path / "failed" / "DEMO_epoch_Last.pth")["step"] == 6
    assert start_here("failed", "--resume", "auto").returncode == 0
    assert_same(tmp_path / "failed", uninterrupted)


@pytest.mark.slow
def test_two_processes_train_what_one_trains_with_the_same_images_a_step(
    start_here: Start, in_two_processes: Path, tmp_path: Path
) -> None:
    """One process that accumulates two batches computes what two processes with one each do, dropout and mixup
    included. BatchNorm takes its statistics per batch in both: synchronised statistics need GPUs."""
    one = start_here("one", "--batch-size", "2", "--accumulate", "2")
    assert one.returncode == 0, one.stderr
    a, b = last_weights(tmp_path / "one"), last_weights(in_two_processes)
    for name in a:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-6)
    # The same images in the same steps: also the logged losses agree.
    losses = [[line["loss"] for line in log_lines(run, "epoch")] for run in (tmp_path / "one", in_two_processes)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_torchrun_restarts_from_the_last_snapshot_of_the_run_and_of_no_other(
    people: Path, uninterrupted: Path, in_two_processes: Path, tmp_path: Path
) -> None:
    """Without --resume a run is a new one, also after a crash before its first snapshot. The second crash is later."""
    folder = tmp_path / "run"
    folder.mkdir()
    earlier = (uninterrupted / "DEMO_epoch_Last.pth").read_bytes()
    (folder / "DEMO_epoch_Last.pth").write_bytes(earlier)
    torchrun = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "2", "--monitor-interval", "0.2"]
    command = [*torchrun, str(TINY), *arguments(people, folder, "--batch-size", "2")]
    environment = started.stand_in(tmp_path) | {"DIE_AT_STEPS": "2,9"}
    result = started.run(torch.distributed.run.__file__, command, environment=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Continuing") == 1
    assert f"step 6 of {STEPS}" in result.stdout
    assert [line["step"] for line in log_lines(folder, "step")][-6:] == [7, 8, 9, 10, 11, 12]
    assert_same(folder, in_two_processes)
    assert (folder / "run_1" / "DEMO_epoch_Last.pth").read_bytes() == earlier


def test_a_loss_that_is_not_finite_stops_the_run(start_here: Start, tmp_path: Path) -> None:
    result = start_here("broken", BREAK_AT_STEP="8")
    assert result.returncode == 2
    assert "at step 8 of 12" in result.stderr
    assert "final_ce = nan" in result.stderr
    assert "body_ce" not in result.stderr
    assert "DEMO_epoch_Last.pth" in result.stderr
    last = read_checkpoint(tmp_path / "broken" / "DEMO_epoch_Last.pth")
    assert last["step"] == 6
    assert all(torch.isfinite(tensor).all() for tensor in last["model"].values())


def test_weights_that_are_not_finite_are_not_saved(start_here: Start, tmp_path: Path) -> None:
    """A last step can leave a finite loss and broken weights."""
    result = start_here("exploded", "--learning-rate", "1e40", "--epochs", "1", "--batch-size", "24")
    assert result.returncode == 2
    assert "the weights are not finite" in result.stderr
    assert not (tmp_path / "exploded" / "DEMO_epoch_Last.pth").exists()


def test_resume_refuses_what_it_cannot_continue(start_here: Start, uninterrupted: Path) -> None:
    last, best = str(uninterrupted / "DEMO_epoch_Last.pth"), str(uninterrupted / "DEMO_epoch_Best.pth")
    result = start_here("other", "--resume", last, "--batch-size", "3")
    assert (result.returncode, result.stdout) == (2, "")
    assert "the interrupted run had 4 images per step, this one 3" in result.stderr
    assert "cannot be resumed" in start_here("other", "--resume", best).stderr
    assert "had --input-size 65,65" in start_here("other", "--resume", last, "--input-size", "65,81").stderr
    assert "done 12 steps, and 1 epochs are only 6" in start_here("other", "--resume", last, "--epochs", "1").stderr


def test_resume_refuses_other_classes(start_here: Start, uninterrupted: Path, tmp_path: Path) -> None:
    content = torch.load(uninterrupted / "DEMO_epoch_Last.pth", weights_only=True)
    content["description"]["classes"][1:3] = content["description"]["classes"][2:0:-1]
    torch.save(content, tmp_path / "other.pth")
    result = start_here("other", "--resume", str(tmp_path / "other.pth"))
    assert (result.returncode, result.stdout) == (2, "")
    assert "was trained on demo, whose classes are not those of demo (for example 'Hair' instead of 'Hat')" in (
        result.stderr
    )


def test_restore_from_takes_over_a_parser_of_other_classes(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run ends before its first step, for want of images."""
    torch.save(published("module.", num_classes=7), tmp_path / "seven.pth")
    options = ["--restore-from", str(tmp_path / "seven.pth"), "--batch-size", "25"]
    assert train.main(arguments(people, tmp_path / "run", *options), build_network=empty_network) == 2
    out, error = capsys.readouterr()
    assert out.startswith(f"Starting from '{tmp_path / 'seven.pth'}' (classes without names, 7 classes, ")
    assert out.count("\n") == 1
    assert "do not fill one step of 25" in error


def test_a_finished_run_has_nothing_left_to_do(start_here: Start, uninterrupted: Path) -> None:
    result = start_here("again", "--resume", str(uninterrupted / "DEMO_epoch_Last.pth"))
    assert result.returncode == 0
    assert "step 12 of 12" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch-size", "25"), "24 training images do not fill one step of 25"),
        (("--num-classes", "7"), "--num-classes 7 does not fit the dataset demo, which has 20"),
        (("--amp", "fp16"), "--amp fp16 needs a GPU"),
        (("--epochs", "0"), "--epochs: 0 is not between 1 and"),
        (("--batch-size", "0"), "--batch-size: 0 is not between 1 and"),
        (("--device", "cuda:9"), "there is no device 'cuda:9'"),
        (("--device", "toaster"), "'toaster' is not a device"),
        (("--data-dir", "nowhere"), "no such folder"),
        (("--snapshot-dir", __file__), "is no folder; choose another --snapshot-dir"),
    ],
)
def test_mistakes_are_told_in_one_line(
    people: Path, tmp_path: Path, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: Any = train.main(arguments(people, tmp_path, *options))
    except SystemExit as end:  # options that cannot be are told by the parser
        status = end.code
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
