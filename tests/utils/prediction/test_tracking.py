"""People followed through frames: numbers that stay, boxes that move smoothly, gaps that are bridged."""

from itertools import pairwise

import pytest

from utils.inference.people import Person
from utils.prediction.tracking import PATIENCE, PersonTracker, overlap


def at(x: float, y: float = 0, score: float = 0.9) -> Person:
    return Person((x, y, x + 40, y + 100), score)


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert overlap((0, 0, 10, 10), (2, 2, 4, 4)) == pytest.approx(0.04)


def test_people_keep_their_numbers_whatever_order_they_are_found_in() -> None:
    tracker = PersonTracker()
    assert [person.number for person in tracker.update([at(0), at(100)])] == [1, 2]
    people = tracker.update([at(104), at(4)])
    assert [(person.number, person.box[0]) for person in people] == [(1, 2), (2, 102)]
    people = tracker.update([at(300), at(5), at(105)])
    assert [person.number for person in people] == [1, 2, 3]
    assert people[2].box == at(300).box


def test_boxes_follow_smoothly() -> None:
    tracker = PersonTracker()
    tracker.update([at(0)])
    jitter = [tracker.update([at(10 * (index % 2), score=0.5)])[0] for index in range(1, 30)]
    lefts = [person.box[0] for person in jitter]
    assert max(abs(b - a) for a, b in pairwise(lefts[5:])) < 5  # half of what was found
    assert jitter[-1].score == 0.5
    for _ in range(20):
        (still,) = tracker.update([at(10)])
    assert still.box == pytest.approx(at(10).box, abs=0.01)
    assert still.number == 1


def test_whom_the_detector_misses_stays_for_a_while() -> None:
    tracker = PersonTracker()
    tracker.update([at(0)])
    for _ in range(PATIENCE):
        assert [person.box for person in tracker.update([])] == [at(0).box]
    assert tracker.update([]) == []
    assert tracker.update([at(0)])[0].number == 2


def test_one_found_box_is_one_person() -> None:
    tracker = PersonTracker()
    tracker.update([at(0), at(20)])
    people = tracker.update([at(19)])
    assert [(person.number, person.box[0]) for person in people] == [(1, 0), (2, 19.5)]
