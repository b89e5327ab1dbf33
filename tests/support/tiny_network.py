"""A network with CSENet's face and a few hundred weights, so that whole trainings fit into a test."""

import os
import signal
import time

import torch
from torch import Tensor, nn

from modules.layers import resize
from networks import CSENetOutput


class TinyNetwork(nn.Module):
    """Takes images and gives the six outputs; has dropout and BatchNorm, whose randomness and state a resumed run
    must get right.

    STEP_SECONDS in the environment slows each training step down, so that a test can interrupt one. DIE_AT_STEPS kills
    process 1, as a crash would, once at each of these training steps, counted from its start (`2,9`: at its second
    step, and at the ninth after torchrun has started it again). BREAK_AT_STEP makes the outputs of a training step NaN;
    FAIL_AT_STEP raises what a GPU without enough memory does, FAIL_IN_VALIDATION the same there.
    """

    def __init__(self, num_classes: int, input_size: tuple[int, int], *, depth: int = 101) -> None:
        super().__init__()
        self.num_classes, self.input_size, self.depth = num_classes, input_size, depth
        # By this name `load_weights` knows this project's networks.
        self.context_alignment = nn.Sequential(
            nn.Conv2d(3, 8, 3, 4, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.2)
        )
        self.heads = nn.Conv2d(8, 3 * num_classes + 2, 1)
        self.bars = nn.Conv1d(8, num_classes, 1)
        self.calls = 0

    def forward(self, images: Tensor) -> CSENetOutput:
        if self.training:
            self._misbehave()
        elif "FAIL_IN_VALIDATION" in os.environ:
            raise torch.OutOfMemoryError("no memory left")
        features = self.context_alignment(images)
        coarse, body, final, edge = self.heads(features).split([self.num_classes] * 3 + [2], dim=1)
        if self.training and self.calls == int(os.environ.get("BREAK_AT_STEP", 0)):
            final = final * torch.nan
        return CSENetOutput(
            coarse=resize(coarse, (final.shape[2] // 2, final.shape[3] // 2)),
            body=body,
            final=final,
            edge=edge,
            rows=self.bars(features.mean(dim=3)).sigmoid(),
            cols=self.bars(features.mean(dim=2)).sigmoid(),
        )

    def _misbehave(self) -> None:
        self.calls += 1
        time.sleep(float(os.environ.get("STEP_SECONDS", 0)))
        restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
        last_step = dict(enumerate(os.environ.get("DIE_AT_STEPS", "0").split(","))).get(restarts, "0")
        if self.calls == int(last_step) and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.calls == int(os.environ.get("FAIL_AT_STEP", 0)):
            raise torch.OutOfMemoryError("no memory left")
