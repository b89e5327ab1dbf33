"""Files that appear whole or not at all."""

from pathlib import Path

from utils.files import whole_file


def test_two_runs_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with whole_file(path) as file:
        file.write(b"first")
        with whole_file(path) as other:
            other.write(b"another")
        assert path.read_bytes() == b"another"
        file.write(b" run")
    assert path.read_bytes() == b"first run"
    assert list(tmp_path.iterdir()) == [path]
