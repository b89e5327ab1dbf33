"""What an exported network says about itself: enough to feed it and to read its classes without this project."""

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple

from dataset.descriptions import DatasetDescription
from dataset.files import parse_json
from dataset.normalise import MEAN, STD
from networks.csenet import checked_size
from utils.checkpoint.files import CheckpointError

Result = Literal["logits", "classes"]


class NetworkMetadata(NamedTuple):
    """What this project itself reads back from an exported network."""

    description: DatasetDescription
    input_size: tuple[int, int]
    """(height, width) of the training crop."""
    result: Result
    """Whether the network ends in logits or in class indices."""


def metadata_entries(metadata: NetworkMetadata) -> dict[str, str]:
    """Return the entries of a file's metadata; all but the plain words are JSON."""
    description = metadata.description
    colours = description.palette[: description.num_classes]
    return {
        "producer": "CSENet",
        "class_names": json.dumps(description.class_names),
        "colours": json.dumps(colours.tolist()),  # RGB
        "flip_pairs": json.dumps(description.flip_pairs),
        "channel_order": "BGR",
        "normalisation": "(pixels / 255 - mean) / std, by channel in the stored order",
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "input_size": json.dumps(metadata.input_size),  # height, width
        "result": metadata.result,
        "description": json.dumps(description.to_dict()),
    }


def read_metadata(entries: Mapping[str, str], where: str) -> NetworkMetadata:
    """Return the metadata that `metadata_entries` wrote; `where` is what a message calls the file.

    Raises CheckpointError where it was written by something else, and where sizes or classes are impossible.
    """
    missing = [key for key in ("description", "input_size", "result") if key not in entries]
    if missing:
        raise CheckpointError(
            f"{where} does not say what its classes are (no {', '.join(missing)} in its metadata): "
            "only files that export.py wrote can be used here"
        )
    try:
        input_size = checked_size(parse_json(entries["input_size"]))
        description = DatasetDescription.from_dict(parse_json(entries["description"]), where)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{where} has damaged metadata ({error}); export it again") from error
    return NetworkMetadata(description, input_size, "classes" if entries["result"] == "classes" else "logits")
