"""The folder of a run: an earlier run is set aside whole, and a second one at the same time is refused."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.full_disk import files_of_at_most
from utils.checkpoint.snapshots import snapshot_before
from utils.training.folder import RunFolder
from utils.training.lock import LOCK_FILE, FolderInUseError, FolderLock

ROOT = Path(__file__).parents[3]
FILES = ("DEMO_epoch_Last.pth", "DEMO_epoch_Last.before.pth", "DEMO_epoch_Best.pth", "DEMO_epoch_5.pth", "log.jsonl")


@pytest.fixture(autouse=True)
def _no_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)


def leave_a_run(folder: Path, text: str) -> None:
    """Files as a run leaves them; `text` tells whose they are."""
    (folder / "tensorboard").mkdir(parents=True)
    for name in (*FILES, "tensorboard/events.1"):
        (folder / name).write_text(text)


def claim(path: Path, snapshot: Path | None = None) -> None:
    """Do what a run does up to its first writing."""
    with RunFolder(path, "demo") as folder:
        folder.start_from(snapshot)
        folder.claim()
        folder.claim()


def test_three_runs_in_a_row_lose_nothing(tmp_path: Path) -> None:
    for number, text in enumerate(("first", "second", "third"), 1):
        leave_a_run(tmp_path, text)
        claim(tmp_path)
        assert sorted(os.listdir(tmp_path)) == [f"run_{n}" for n in range(1, number + 1)]
    for number, text in enumerate(("first", "second", "third"), 1):
        aside = tmp_path / f"run_{number}"
        assert {file.read_text() for file in aside.rglob("*") if file.is_file()} == {text}
        assert sorted(os.listdir(aside)) == sorted((*FILES, "tensorboard"))


def test_other_files_stay_where_they_are(tmp_path: Path) -> None:
    leave_a_run(tmp_path, "run")
    others = ("resnet101-imagenet.pth", "LIP_epoch_Best.pth", "run_7", ".gitignore")
    for name in others:
        (tmp_path / name).write_text("mine")
    claim(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted((*others, "run_8"))  # whatever run_7 is


def test_a_continued_run_stays_where_it_is(tmp_path: Path) -> None:
    leave_a_run(tmp_path, "run")
    claim(tmp_path, tmp_path / "DEMO_epoch_Last.pth")
    assert sorted(os.listdir(tmp_path)) == sorted((*FILES, "tensorboard"))


def test_a_damaged_last_does_not_become_the_one_before(tmp_path: Path) -> None:
    leave_a_run(tmp_path, "damaged")
    (tmp_path / "DEMO_epoch_Last.before.pth").write_text("good")
    claim(tmp_path, tmp_path / "DEMO_epoch_Last.before.pth")
    assert not (tmp_path / "DEMO_epoch_Last.pth").exists()
    assert (tmp_path / "DEMO_epoch_Last.before.pth").read_text() == "good"
    assert (tmp_path / "DEMO_epoch_Last.aside.pth").read_text() == "damaged"
    (tmp_path / "DEMO_epoch_Last.pth").write_text("unwanted")
    claim(tmp_path, tmp_path / "DEMO_epoch_Last.before.pth")
    assert (tmp_path / "DEMO_epoch_Last.aside.pth").read_text() == "damaged"
    assert (tmp_path / "DEMO_epoch_Last.aside_2.pth").read_text() == "unwanted"


def test_continuing_from_elsewhere_sets_the_run_here_aside(tmp_path: Path) -> None:
    leave_a_run(tmp_path / "here", "here")
    leave_a_run(tmp_path / "there", "there")
    claim(tmp_path / "here", tmp_path / "there" / "DEMO_epoch_Last.pth")
    assert os.listdir(tmp_path / "here") == ["run_1"]
    assert (tmp_path / "there" / "DEMO_epoch_Last.pth").read_text() == "there"


def test_a_start_that_fails_changes_nothing(tmp_path: Path) -> None:
    leave_a_run(tmp_path / "old", "run")
    for name in ("old", "new"):
        with pytest.raises(ValueError, match="workers"), RunFolder(tmp_path / name / "a", "demo"):
            raise ValueError("workers")
        with pytest.raises(ValueError, match="workers"), RunFolder(tmp_path / name, "demo"):
            raise ValueError("workers")
    assert os.listdir(tmp_path) == ["old"]
    assert sorted(os.listdir(tmp_path / "old")) == sorted((*FILES, "tensorboard"))


def test_the_run_of_another_dataset_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "LIP_epoch_Last.pth").touch()
    with pytest.raises(ValueError, match=r"another dataset \(LIP_epoch_Last.pth\).*choose another --snapshot-dir"):
        claim(tmp_path)
    assert os.listdir(tmp_path) == ["LIP_epoch_Last.pth"]


@pytest.mark.parametrize("lost", [False, True])
def test_what_a_linked_last_leads_to_stays_where_it_is_and_the_link_is_set_aside(lost: bool, tmp_path: Path) -> None:
    """Also where a kill has left the one before alone."""
    disk, folder = tmp_path / "disk", tmp_path / "run"
    disk.mkdir()
    leave_a_run(folder, "other")
    link, last = folder / "DEMO_epoch_Last.pth", disk / "last.pth"
    (folder / "DEMO_epoch_Last.before.pth").unlink()
    link.unlink()
    link.symlink_to("../disk/last.pth")
    last.write_text("last")
    (disk / "last.before.pth").write_text("before")
    if lost:
        last.unlink()
    claim(folder)
    aside = folder / "run_1" / "DEMO_epoch_Last.pth"
    assert aside.resolve() == last
    assert snapshot_before(aside).read_text() == "before"
    assert os.listdir(folder) == ["run_1"]


def test_a_link_that_waits_for_its_file_is_nothing_to_set_aside(tmp_path: Path) -> None:
    (tmp_path / "DEMO_epoch_Last.pth").symlink_to("../disk/last.pth")
    claim(tmp_path)
    assert os.listdir(tmp_path) == ["DEMO_epoch_Last.pth"]


def test_nothing_may_be_written_while_an_earlier_run_cannot_be_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log's error comes first, and the last snapshot is saved after it: not over the earlier run's."""
    leave_a_run(tmp_path, "earlier")

    def fail(path: Path, **_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded", str(path))

    with RunFolder(tmp_path, "demo") as folder:
        folder.start_from(None)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "mkdir", fail)
            for _ in range(2):
                with pytest.raises(OSError, match="run_1"):
                    folder.claim()
        folder.claim()
    assert os.listdir(tmp_path) == ["run_1"]


def test_an_earlier_run_that_cannot_be_listed_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "DEMO_epoch_Last.pth").write_text("earlier")

    def refuse(path: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with RunFolder(tmp_path, "demo") as folder:
        folder.start_from(None)
        with monkeypatch.context() as patch:
            patch.setattr(os, "listdir", refuse)
            patch.setattr(os, "scandir", refuse)
            with pytest.raises(PermissionError):
                folder.claim()
        assert (tmp_path / "DEMO_epoch_Last.pth").read_text() == "earlier"


def test_a_last_whose_file_is_lost_leads_to_the_one_before_it_where_that_has_gone(tmp_path: Path) -> None:
    """A kill while writing leaves only the snapshot before; the next run may have an epoch of that number, too."""
    (tmp_path / "DEMO_epoch_9.before.pth").write_text("before")
    (tmp_path / "DEMO_epoch_Last.pth").symlink_to("DEMO_epoch_9.pth")
    claim(tmp_path)
    assert os.readlink(tmp_path / "run_1" / "DEMO_epoch_Last.pth") == "DEMO_epoch_9.pth"
    assert snapshot_before((tmp_path / "run_1" / "DEMO_epoch_Last.pth").resolve()).read_text() == "before"


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("stored", ["store.pth", "DEMO_epoch_5.pth"])
def test_a_last_that_is_a_link_within_the_folder_still_leads_to_its_file(
    stored: str, absolute: bool, tmp_path: Path
) -> None:
    leave_a_run(tmp_path, "run")
    (tmp_path / "DEMO_epoch_Last.pth").rename(tmp_path / stored)
    (tmp_path / "DEMO_epoch_Last.pth").symlink_to(tmp_path / stored if absolute else stored)
    claim(tmp_path)
    assert set(os.listdir(tmp_path)) <= {"run_1", "store.pth"}
    assert (tmp_path / "run_1" / "DEMO_epoch_Last.pth").read_text() == "run"


def test_folders_and_devices_of_others_behind_links_stay_where_they_are(tmp_path: Path) -> None:
    """Many runs may share a folder for TensorBoard, and log.jsonl may lead to /dev/null, which nobody may rename."""
    shared, device, folder = tmp_path / "shared", tmp_path / "device", tmp_path / "run"
    folder.mkdir()
    shared.mkdir()
    os.mkfifo(device)
    (folder / "tensorboard").symlink_to("../shared")
    (folder / "log.jsonl").symlink_to("../device")
    claim(folder)
    assert sorted(os.listdir(tmp_path)) == ["device", "run", "shared"]
    assert os.listdir(folder) == ["run_1"]
    assert (folder / "run_1" / "tensorboard").samefile(shared)
    assert (folder / "run_1" / "log.jsonl").samefile(device)


def test_a_run_knows_which_snapshots_are_its_own(tmp_path: Path) -> None:
    """Not those of an earlier run that it has not set aside yet."""
    for start, is_own in ((None, False), (tmp_path / "DEMO_epoch_Last.pth", True)):
        leave_a_run(tmp_path, "earlier")
        with RunFolder(tmp_path, "demo") as folder:
            folder.start_from(start)
            assert (folder.written("Best") is not None) == is_own
            folder.claim()
            assert (folder.written("Best") is not None) == is_own


def test_torchrun_finds_its_own_run_again_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it was asked for a new run, and crashed before its first snapshot."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "csenet")
    leave_a_run(tmp_path, "earlier")

    def crash(*, claims: bool) -> None:
        with RunFolder(tmp_path, "demo") as folder:
            folder.start_from(None)
            assert not folder.is_own
            if claims:
                folder.claim()
            raise RuntimeError("crash")

    for claims in (False, True):
        with pytest.raises(RuntimeError, match="crash"):
            crash(claims=claims)
    (tmp_path / "log.jsonl").write_text("own")
    with RunFolder(tmp_path, "demo") as folder:
        assert folder.is_own
        folder.start_from(None)
        folder.claim()
    assert sorted(os.listdir(tmp_path)) == ["log.jsonl", "run_1"]
    monkeypatch.setattr(os, "getppid", lambda: -1)
    with RunFolder(tmp_path, "demo") as folder:
        assert not folder.is_own


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds `tmp_path`, with a child that outlives it as workers do for seconds."""
    script = (
        "import os, sys, time; from pathlib import Path; from utils.training.lock import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); lock.acquire()\n"
        "if os.fork() == 0: os.closerange(0, 3); time.sleep(30); os._exit(0)\n"
        "print('held', flush=True); time.sleep(60)"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path)]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_folder_has_one_run_at_a_time_and_a_kill_frees_it(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    message = f"'{tmp_path}' is in use by another training \\(process {holder.pid} on .*another --snapshot-dir"
    with pytest.raises(FolderInUseError, match=message):
        claim(tmp_path)
    assert (tmp_path / LOCK_FILE).exists()
    holder.kill()
    holder.wait()
    claim(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_no_lock_and_names_it(tmp_path: Path) -> None:
    with files_of_at_most(0), pytest.raises(OSError, match=LOCK_FILE), RunFolder(tmp_path / "new", "demo"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_snapshot_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(NotADirectoryError, match=f"is no folder; choose another.*{name}"):
            claim(tmp_path / name)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_lies_in_the_lock_files_place_is_not_written_to(kind: str, tmp_path: Path) -> None:
    place, target = tmp_path / "run" / LOCK_FILE, tmp_path / "precious"
    place.parent.mkdir()
    target.write_text("precious")
    {"link": lambda: place.symlink_to(target), "pipe": lambda: os.mkfifo(place), "folder": place.mkdir}[kind]()
    with pytest.raises(OSError, match=LOCK_FILE):
        FolderLock(place.parent).acquire()
    assert target.read_text() == "precious"
