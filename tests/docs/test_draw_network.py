"""The figure of the network."""

from docs.draw_network import FIGURE, draw


def test_the_figure_is_that_of_the_network() -> None:
    assert draw() == FIGURE.read_text(encoding="utf-8"), "make it anew: python -m docs.draw_network; and look at it"
