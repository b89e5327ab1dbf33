"""People in the frames of a video: who is who from frame to frame, in boxes that move smoothly."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from utils.inference.inputs import Boxes
from utils.inference.people import Box, Person, PersonDetector, parsed_boxes
from utils.pictures.figures import Picture
from utils.prediction.video import Frame

LEAST_OVERLAP = 0.3
"""Intersection over union of two boxes that can be the same person in two frames."""
NEW_WEIGHT = 0.5
"""Of a new box in the exponential smoothing; the rest is that of what was smoothed before."""
PATIENCE = 5
"""Frames for which somebody whom the detector misses stays where he or she was."""


def people_in_frames(
    frames: Iterator[Frame], detector: PersonDetector | None
) -> Iterator[tuple[tuple[Frame, list[Person] | None], Picture, Boxes | None]]:
    """Yield each frame of a video with its people as `HumanParser.predict_items` takes it: to be parsed in their boxes.

    Without a detector frames are parsed whole, and have None in the place of people.
    """
    tracker = PersonTracker()
    for frame in frames:
        if detector is None:
            yield (frame, None), frame.pixels, None
        else:
            people = tracker.update(detector.detect(frame.pixels))
            yield (frame, people), frame.pixels, parsed_boxes(people)


@dataclass
class _Track:
    person: Person
    missed: int = 0


class PersonTracker:
    """Follow people through the frames of a video.

    Boxes of two frames are the same person's where they overlap the most, and enough. Each person keeps a number, 1 for
    the first, and has a box that is smoothed exponentially, so that class maps do not flicker with the detector.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._numbers = itertools.count(1)

    def update(self, found: Sequence[Person]) -> list[Person]:
        """Return the people of the next frame, by their numbers, of those that a detector found in it."""
        pairs = sorted(
            (
                (overlap(track.person.box, person.box), number, index)
                for number, track in enumerate(self._tracks)
                for index, person in enumerate(found)
            ),
            reverse=True,
        )
        for track in self._tracks:
            track.missed += 1
        new = dict(enumerate(found))
        for value, number, index in pairs:
            track = self._tracks[number]
            if value >= LEAST_OVERLAP and track.missed and index in new:
                person = new.pop(index)
                track.missed = 0
                track.person = person._replace(box=_between(track.person.box, person.box), number=track.person.number)
        self._tracks = [track for track in self._tracks if track.missed <= PATIENCE]
        self._tracks += [_Track(person._replace(number=next(self._numbers))) for person in new.values()]
        return [track.person for track in self._tracks]


def overlap(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return width * height / (areas - width * height)


def _between(before: Box, now: Box) -> Box:
    x0, y0, x1, y1 = (old + NEW_WEIGHT * (new - old) for old, new in zip(before, now, strict=True))
    return x0, y0, x1, y1
