"""Variables of the run scripts that cannot be what they are: one sentence and status 2, before anything is done."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted(path.name for path in ROOT.glob("run*.sh") if path.name != "run_tests.sh")
WHOLE = ["x", "0", "-1", "1.5", "1 2", "99999999999999999999", "2;ls", "$(ls)", "\x1b[2J", "a[0]"]
BAD = [
    *({"GPUS": value} for value in [*WHOLE, "65"]),
    *({"NNODES": value} for value in WHOLE),
    *({"BATCH_SIZE": value} for value in [*WHOLE, "1025"]),
    *({"NODE_RANK": value} for value in WHOLE if value != "0"),
    {"MAX_RESTARTS": "-1"},
    *(
        {"RENDEZVOUS": value}
        for value in ("host", "host:", ":1", "host:0", "host:65536", "host:http", "a b:1", "$(ls):1")
    ),
    {"NNODES": "2"},
    {"NNODES": "2", "NODE_RANK": "2", "RENDEZVOUS": "host:1"},
    {"NNODES": "2", "NODE_RANK": "0"},
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_settings_that_cannot_be_are_one_sentence(script: str, tmp_path: Path) -> None:
    """PYTHON is a program that leaves a mark, so that one sees whether it was asked for anything."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ntouch '{tmp_path}/asked'\nexit 1\n")
    python.chmod(0o755)
    for settings in BAD:
        environment = {"PATH": os.environ["PATH"], "PYTHON": str(python), "DATA_DIR": str(tmp_path)} | settings
        done = subprocess.run([str(ROOT / script)], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), (settings, done.stderr)
        assert any(name in done.stderr for name in ("NODE_RANK", "RENDEZVOUS", *settings))
        assert "\x1b" not in done.stderr
    assert not (tmp_path / "asked").exists()


def test_settings_that_can_be_pass(tmp_path: Path) -> None:
    good = {"GPUS": "08", "NNODES": "2", "NODE_RANK": "01", "RENDEZVOUS": "[::1]:29500", "BATCH_SIZE": "16"}
    script = f"set -euo pipefail; source '{ROOT}/utils/launch/environment.sh'; check_settings; echo passed"
    for settings in ({}, good, dict.fromkeys(good, ""), {"RENDEZVOUS": "host0.my-net_1:29500", "NODE_RANK": "0"}):
        environment = {"PATH": os.environ["PATH"]} | settings
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("passed\n", ""), settings
