"""What a run of `predict.py` has to do: which results are there already, and are what its inputs and options give."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from utils.background import prefetch
from utils.checkpoint.classes import find_description
from utils.inference.loading import default_engine
from utils.prediction.record import Options, PredictionRecord, file_sha256
from utils.prediction.run import Job


@dataclass(frozen=True)
class Plan:
    """The work of a run.

    jobs: of all inputs.
    todo: those of them whose results are to be made.
    reasons: those of `todo` whose results are all there, by what is wrong with them.
    """

    jobs: Sequence[Job]
    todo: Sequence[Job]
    reasons: Mapping[str, Sequence[Job]] = field(default_factory=dict)


def make_plan(jobs: Sequence[Job], record: PredictionRecord, *, overwrite: bool) -> Plan:
    """Return which results are to be made: all of them, or those that are missing or are not what they should be."""
    if overwrite:
        return Plan(jobs, jobs)
    todo, reasons = [], defaultdict(list)
    with prefetch((partial(_objection, job, record) for job in jobs), workers=8, depth=64) as objections:
        for job, reason in zip(jobs, objections, strict=True):
            if reason is not None:
                todo.append(job)
            if reason:
                reasons[reason].append(job)
    return Plan(jobs, todo, reasons)


def _objection(job: Job, record: PredictionRecord) -> str | None:
    """Return what is wrong with the results of a job, "" if that goes without saying; None where nothing is."""
    if not job.complete:
        return ""
    try:
        return record.objection(job.source.path, job.results, job.options)
    except OSError:  # the input cannot be read; who tries to parse it says so
        return ""


def network_options(
    checkpoint: str,
    *,
    dataset: str | None,
    input_size: tuple[int, int] | None,
    scales: Sequence[float],
    mirror: bool,
    amp: str | None,
    engine: str | None,
    borders: str,
    people: str | None,
    people_weights: str | None,
) -> Options:
    """Return the options that decide about class maps, for `PredictionRecord`; files by their content.

    Raises DatasetError for a dataset that is not there.
    """
    return {
        "checkpoint": _file_digest(checkpoint),
        "dataset": _dataset_digest(dataset),
        "input-size": input_size and list(input_size),
        "scales": list(scales),
        "no-mirror": not mirror,
        "amp": amp or "off",
        "engine": engine or default_engine(checkpoint),
        "borders": borders,
        "people": people,
        "people-weights": people_weights and _file_digest(people_weights),
    }


def _file_digest(path: str) -> str | None:
    try:
        return file_sha256(path)
    except OSError:  # who tries to load it says why
        return None


def _dataset_digest(named: str | None) -> str | None:
    description = find_description(named)
    if description is None:
        return None
    text = json.dumps(description.to_dict(), sort_keys=True)
    return f"{description.name} {hashlib.sha256(text.encode()).hexdigest()}"
