"""Validation in the middle of a training: the published mIoU at one scale, and the best network so far."""

from collections.abc import Sequence

import torch

from dataset.layouts import Sample
from utils.distributed import copy_buffers_from_main, print_from_main
from utils.evaluation.engine import evaluate
from utils.evaluation.report import validation_figures
from utils.inference.crop_parser import CropParser
from utils.inference.engines import TorchEngine
from utils.pictures.training import training_picture
from utils.training.log import RunLog
from utils.training.state import TrainingState, save_snapshot

EXAMPLES = 4


def validate(state: TrainingState, samples: Sequence[Sample], epoch: int, log: RunLog) -> None:
    """Measure all samples after an epoch (counted from 1), log it, and keep the network if its mIoU is the best so far.

    Every process must call this.
    """
    config, description, model = state.config, state.description, state.model
    copy_buffers_from_main(model)
    model.eval()
    engine = TorchEngine(model, state.device, amp=config.amp)
    evaluation = evaluate(
        CropParser(engine, mirror=False, deterministic=True, cores=torch.get_num_threads()),
        samples,
        description,
        state.processes,
        input_size=config.input_size,
        batch_size=config.val_batch_size,
        num_workers=config.num_workers,
        title=f"epoch {epoch}: validation",
    )
    published, exact = evaluation.published.confusion, evaluation.exact.confusion
    mean_iou, best = published.mean_iou, state.best_mean_iou
    state.best_mean_iou = max(mean_iou, best)
    log.scalars("validation", state.step, epoch, validation_figures(evaluation, description.class_names))
    if state.processes.is_main:
        examples = training_picture(engine, samples[:EXAMPLES], description, config.input_size)
        log.picture("validation/examples", state.step, examples)
    print_from_main(
        f"epoch {epoch}: mIoU {mean_iou:.2f} ({exact.mean_iou:.2f} with exact centres), "
        f"pixel accuracy {published.pixel_accuracy:.2f}"
        + (" (the best so far)" if mean_iou > best else f" (best {best:.2f})")
    )
    if mean_iou > best:
        save_snapshot(state, "Best", finished_epochs=epoch)
