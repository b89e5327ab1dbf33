"""The pages that people read: their fenced blocks, their commands, and what stands between backquotes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
"""All of them, the changelog included."""

DISTRIBUTED = ("train.py", "evaluate.py", "evaluate_multiscale.py", "predict.py")
"""The scripts that may run in several processes."""

_FENCE = re.compile(r"^ *```(\w*)$")
_SPAN = re.compile(r"`([^`\n]+)`")
_SETTING = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


class Block(NamedTuple):
    """A fenced block; `line` is the number of its first line."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Command(NamedTuple):
    """A line of a shell block: `settings` are the variables before the words, or those that it exports."""

    where: str
    settings: dict[str, str]
    words: list[str]


def fenced_blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks in order, without the indentation that lists give them."""
    blocks: list[Block] = []
    start, language = 0, ""
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and not start:
            start, language, lines = number + 1, fence[1], []
        elif fence:
            indent = min((len(text) - len(text.lstrip()) for text in lines if text.strip()), default=0)
            blocks.append(Block(page, start, language, "".join(f"{text[indent:]}\n" for text in lines)))
            start = 0
        else:
            lines.append(line)
    assert not start, f"{page}: the block of line {start} has no end"
    return blocks


def outside_blocks(page: Path) -> Iterator[tuple[int, str]]:
    """Give the numbered lines that are in no fenced block."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line) is not None
        if not inside and not fence:
            yield number, line
        inside ^= fence


def code_spans(page: Path) -> list[tuple[str, str]]:
    """Return what stands between single backquotes outside of blocks, each with its place."""
    name = page.relative_to(ROOT)
    return [(f"{name}:{number}", span) for number, line in outside_blocks(page) for span in _SPAN.findall(line)]


def commands(block: Block) -> list[Command]:
    """Return the commands of a shell block, without comments; a backslash joins lines, && commands."""
    found = []
    for offset, line in _joined(block.text):
        where = f"{block.page.relative_to(ROOT)}:{block.line + offset}"
        words = shlex.split(line, comments=True)
        while "&&" in words:
            end = words.index("&&")
            found.append(command(words[:end], where))
            words = words[end + 1 :]
        if words:
            found.append(command(words, where))
    return found


def command(words: list[str], where: str) -> Command:
    """Return a command from its words, split as a shell splits them."""
    exported = words[0] == "export"
    settings, rest = {}, words[1:] if exported else words
    while rest and (setting := _SETTING.fullmatch(rest[0])):
        settings[setting[1]] = setting[2]
        rest = rest[1:]
    return Command(where, settings, ["export"] if exported else rest)


def without_launcher(words: list[str]) -> list[str]:
    """Return a Python command without what starts several processes of it: from the script that they run on."""
    places = [place for place, word in enumerate(words) if Path(word).name in DISTRIBUTED]
    return words[places[0] :] if places else words


def _joined(text: str) -> Iterator[tuple[int, str]]:
    start, joined = 0, ""
    for number, line in enumerate(text.splitlines()):
        start = start if joined else number
        joined += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield start, joined
            joined = ""
