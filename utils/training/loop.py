"""The training run: its epochs, validation, snapshots, and how it ends and is continued."""

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dataset.crops import TrainingCrops, worker_init
from dataset.descriptions import DatasetDescription
from dataset.layouts import Sample
from dataset.sampling import TrainingBatches
from networks import CSENet
from utils.checkpoint.snapshots import snapshot_content, write_snapshot
from utils.distributed import Processes, copy_buffers_from_main, reduce_flags, reduce_sum, wait_for_all
from utils.evaluation.engine import evaluate
from utils.evaluation.report import validation_figures
from utils.inference.crop_parser import CropParser
from utils.pictures.training import training_picture
from utils.progress import Progress, duration
from utils.training.log import RunLog
from utils.training.step import Optimisation
from utils.training.stopping import StopRequest

# GPUs run ahead of the host: looking at every loss at once would make them wait.
STEPS_BETWEEN_CHECKS = {"cpu": 1, "cuda": 10}


class TrainingDivergedError(RuntimeError):
    """A loss is not finite; the message names the step and the terms."""


class TrainingStoppedError(RuntimeError):
    """A signal asked the run to stop, and its state is saved."""


class TrainingRun:
    """A network in training, and all that changes with it.

    Args:
        model: on the CPU, with its starting weights.
        options: those of `train.py`, all settled (see there for each one's meaning).
        processes: which of the run's processes this is.
        samples: the labelled photographs, by split ("train", "val").
    """

    def __init__(
        self,
        model: CSENet,
        description: DatasetDescription,
        samples: dict[str, list[Sample]],
        options: argparse.Namespace,
        processes: Processes,
        stop: StopRequest,
    ) -> None:
        self.options, self.processes, self.stop = options, processes, stop
        self.description, self.samples = description, samples
        self.device = processes.device
        self.batches = TrainingBatches(
            len(samples["train"]),
            options.batch_size,
            accumulate=options.accumulate,
            rank=processes.rank,
            world_size=processes.world_size,
            seed=options.random_seed,
        )
        self.total_steps = options.epochs * self.batches.steps_per_epoch
        self.step = 0
        self.finished_epochs = 0
        self.best_mean_iou = -1.0

        self.optimisation = Optimisation(model, description, options, processes, self.batches, self.total_steps)
        self.model = self.optimisation.model
        folder = Path(options.snapshot_dir)
        name = description.name.upper()
        self.best_path, self.last_path = folder / f"{name}_epoch_Best.pth", folder / f"{name}_epoch_Last.pth"
        self.log = RunLog(folder, enabled=processes.is_main)

    # --- the schedule -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train all epochs that are left.

        Raises TrainingStoppedError after a signal, with the state saved, and TrainingDivergedError.
        """
        loader = self._loader()
        start, first_step = time.monotonic(), self.step
        for epoch in range(self.finished_epochs, self.options.epochs):
            self._train_epoch(epoch, loader, start, first_step)
            self._finish_epoch(epoch)
            if self._reduced(stop=self.stop.signal is not None)[0]:
                raise TrainingStoppedError(f"stopped after epoch {epoch + 1}; {self.last_path} holds the state")
        self.log.close()

    def _loader(self) -> DataLoader[dict[str, Tensor]]:
        options = self.options
        crops = TrainingCrops(
            self.samples["train"],
            self.description,
            crop_size=options.input_size,
            seed=options.random_seed,
            random_mirror=options.random_mirror,
            random_scale=options.random_scale,
            random_rotation=options.random_rotation,
            random_colour=options.random_colour,
        )
        return DataLoader(
            crops,
            batch_sampler=self.batches,
            num_workers=options.num_workers,
            persistent_workers=options.num_workers > 0,
            worker_init_fn=worker_init,
            pin_memory=self.device.type == "cuda",
        )

    def _train_epoch(self, epoch: int, loader: DataLoader, run_start: float, run_first_step: int) -> None:
        """Take the epoch's steps that are left."""
        steps = self.batches.steps_per_epoch
        done = self.step - epoch * steps
        if done == steps:  # stopped between the last step and the validation
            return
        self.batches.start_at(epoch, done)
        self.model.train()
        check_every = STEPS_BETWEEN_CHECKS.get(self.device.type, 1)
        unchecked: list[tuple[int, dict[str, Tensor]]] = []
        epoch_figures: list[dict[str, float]] = []
        images = self.batches.images_per_step
        batches = iter(loader)
        start = time.monotonic()
        title = f"epoch {epoch + 1}/{self.options.epochs}"
        with Progress(
            title, steps * images, "images", done=done * images, quiet=not self.processes.is_main
        ) as progress:
            for step_in_epoch in range(done, steps):
                unchecked.append((self.step, self.optimisation.take_step(self.step, batches)))
                self.step += 1
                last = step_in_epoch + 1 == steps
                problem = None
                if last or len(unchecked) >= check_every:
                    problem = self._check(unchecked, epoch_figures)
                    unchecked.clear()
                self._stop_if_asked(problem, epoch)
                seconds_left = (
                    (time.monotonic() - run_start) / (self.step - run_first_step) * (self.total_steps - self.step)
                )
                note = (
                    f"loss {epoch_figures[-1]['loss']:.3f}, run {duration(seconds_left)} left"
                    if epoch_figures
                    else None
                )
                progress.advance(images, note)
        seconds = time.monotonic() - start
        self._log_epoch(epoch, epoch_figures, (steps - done) * images / seconds)

    # --- between the steps --------------------------------------------------------------------------------------

    def _check(self, unchecked: list[tuple[int, dict[str, Tensor]]], figures: list[dict[str, float]]) -> str | None:
        """Bring losses to the host, append them to `figures`, and say what is wrong if one is not finite."""
        stacked = torch.stack([torch.stack(list(terms.values())) for _, terms in unchecked]).cpu().tolist()
        for (step, terms), values in zip(unchecked, stacked, strict=True):
            row = dict(zip(terms, values, strict=True))
            broken = [f"{name} = {value}" for name, value in row.items() if not math.isfinite(value)]
            if broken:
                return f"at step {step + 1} of {self.total_steps} the loss is not finite: {', '.join(broken)}"
            figures.append(row)
            if step % self.options.log_every == 0:
                epoch = step // self.batches.steps_per_epoch + 1
                rate = self.optimisation.learning_rate(step)
                self.log.scalars("step", step + 1, epoch, {**row, "learning_rate": rate})
        return None

    def _stop_if_asked(self, problem: str | None, epoch: int) -> None:
        """End the run, in all processes together, if one diverged or was sent a signal."""
        diverged, stop = self._reduced(diverged=problem is not None, stop=self.stop.signal is not None)
        if diverged:
            raise TrainingDivergedError(
                f"{problem or 'another process: the loss is not finite'}. Nothing was saved after it; "
                f"{self._snapshot_state()}. Try a lower --learning-rate, or --amp off"
            )
        if stop:
            self._save_last()
            raise TrainingStoppedError(
                f"stopped in epoch {epoch + 1} after step {self.step} of {self.total_steps}; {self.last_path} "
                "holds the state"
            )

    def _reduced(self, **flags: bool) -> list[bool]:
        return reduce_flags(list(flags.values()))

    def _snapshot_state(self) -> str:
        if self.last_path.exists():
            return f"the last good snapshot is {self.last_path}"
        return "there is no earlier snapshot of this run"

    def _log_epoch(self, epoch: int, figures: list[dict[str, float]], images_per_second: float) -> None:
        """Log the epoch's mean of each term over its steps and the processes."""
        names = list(figures[0])
        table = np.array([[row[name] for name in names] for row in figures]).mean(axis=0)
        means = dict(zip(names, (reduce_sum(table) / self.processes.world_size).tolist(), strict=True))
        rates = {"learning_rate": self.optimisation.learning_rate(self.step), "images_per_second": images_per_second}
        self.log.scalars("epoch", self.step, epoch + 1, {**means, **rates})

    def _finish_epoch(self, epoch: int) -> None:
        """Validate if it is time to, and save."""
        options = self.options
        number = epoch + 1
        if self.samples["val"] and (number % options.val_every == 0 or number == options.epochs):
            self._save_last()  # a validation can take long, and fail
            self._stop_if_asked(None, epoch)
            self._validate(number)
        self.finished_epochs = number
        self._save_last()
        if options.keep_every and number % options.keep_every == 0 and self.processes.is_main:
            path = self.last_path.with_name(f"{self.description.name.upper()}_epoch_{number}.pth")
            write_snapshot(path, self._content(resumable=False))

    def _validate(self, number: int) -> None:
        """Measure the whole validation set, log it, and keep the network if its published mIoU is the best so far."""
        copy_buffers_from_main(self.model)
        self.model.eval()
        parser = CropParser(
            self.model,
            self.device,
            mirror=False,
            amp=self.options.amp,
            cores=torch.get_num_threads(),
        )
        evaluation = evaluate(
            parser,
            self.samples["val"],
            self.description,
            self.processes,
            crop_size=self.options.input_size,
            batch_size=self.options.val_batch_size,
            num_workers=self.options.num_workers,
            title=f"epoch {number}: validation",
        )
        self.log.scalars("validation", self.step, number, validation_figures(evaluation, self.description.class_names))
        mean_iou = evaluation.confusion.mean_iou
        better = mean_iou > self.best_mean_iou
        if self.processes.is_main:
            self.log.picture(
                "validation/examples",
                self.step,
                training_picture(self.model, self.samples["val"][:4], self.description, self.options.input_size),
            )
            print(
                f"epoch {number}: mIoU {mean_iou:.2f} ({evaluation.exact_centre.mean_iou:.2f} with exact centres), "
                f"pixel accuracy {evaluation.confusion.pixel_accuracy:.2f}"
                + (" (the best so far)" if better else f" (best {self.best_mean_iou:.2f})"),
                flush=True,
            )
        if better:
            self.best_mean_iou = mean_iou
            if self.processes.is_main:
                write_snapshot(self.best_path, self._content(resumable=False, epoch=number))

    # --- snapshots ----------------------------------------------------------------------------------------------

    def _content(self, *, resumable: bool, epoch: int | None = None) -> dict[str, Any]:
        content = snapshot_content(
            self.model,
            self.description,
            step=self.step,
            finished_epochs=self.finished_epochs if epoch is None else epoch,
            steps_per_epoch=self.batches.steps_per_epoch,
            images_per_step=self.batches.images_per_step,
            best_mean_iou=self.best_mean_iou,
            options=vars(self.options),
        )
        if resumable:
            content |= self.optimisation.state()
        return content

    def _save_last(self) -> None:
        """Save all that continuing needs, unless the weights are broken already."""
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters())
        if self._reduced(broken=not finite)[0]:
            raise TrainingDivergedError(
                f"after step {self.step} of {self.total_steps} the weights are not finite. They were not saved; "
                f"{self._snapshot_state()}. Try a lower --learning-rate, or --amp off"
            )
        if self.processes.is_main:
            write_snapshot(self.last_path, self._content(resumable=True))
        wait_for_all()

    def set_aside_earlier(self) -> None:
        """Rename the last snapshot of an earlier run, lest this one be continued from it after a crash."""
        if self.last_path.exists():
            aside = self.last_path.with_suffix(".previous.pth")
            self.last_path.replace(aside)
            print(f"The earlier run's {self.last_path} is now {aside.name}.", flush=True)

    def restore(self, content: dict[str, Any]) -> None:
        """Continue from a snapshot's content whose weights `model` already has.

        Raises ValueError if it belongs to a run with another crop, or another number of images per step or in the
        training set, whose steps would mean something else; or if it is past this run's end.
        """
        if "optimizer" not in content:
            raise ValueError(
                "this snapshot holds the network alone and cannot be resumed; use the ..._epoch_Last.pth beside it, or "
                "start a new run from it with --restore-from"
            )
        for key, now in (
            ("images_per_step", self.batches.images_per_step),
            ("steps_per_epoch", self.batches.steps_per_epoch),
        ):
            if content[key] != now:
                raise ValueError(
                    f"the interrupted run had {content[key]} {key.replace('_', ' ')}, this one {now}; resume with the "
                    "same data and the same --batch-size x --accumulate x processes"
                )
        if content["input_size"] != list(self.options.input_size):
            height, width = content["input_size"]
            raise ValueError(f"the interrupted run had --input-size {height},{width}; resume it with the same")
        if content["step"] > self.total_steps:
            raise ValueError(
                f"the interrupted run has already done {content['step']} steps, and {self.options.epochs} epochs are "
                f"only {self.total_steps}; set --epochs higher"
            )
        self.optimisation.restore(content)
        self.step, self.finished_epochs = content["step"], content["finished_epochs"]
        self.best_mean_iou = content["best_mean_iou"]
