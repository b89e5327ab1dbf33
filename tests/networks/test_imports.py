"""Network, losses, targets, metrics and checkpoints run where OpenCV is not installed."""

import subprocess
import sys

CORE = [
    "networks",
    "modules.channel_enhancement",
    "modules.class_distribution",
    "modules.context_alignment",
    "modules.edge",
    "modules.enhancement_stage",
    "modules.layers",
    "modules.pixel_affinity",
    "modules.spatial_enhancement",
    "utils.losses",
    "utils.checkpoint.loading",
    "utils.checkpoint.published_names",
    "utils.metrics",
    "dataset.targets",
]


def test_the_core_imports_without_opencv_and_torchvision() -> None:
    program = f"""
import importlib, sys
for blocked in ("cv2", "torchvision", "PIL", "tqdm", "tensorboard", "scipy"):
    sys.modules[blocked] = None
for name in {CORE!r}:
    importlib.import_module(name)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
