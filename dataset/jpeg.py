"""The first picture in a JPEG file: where it ends, and whether all of it is there.

Phones put whole videos behind their photographs (motion photos), cameras a second picture, and a file that lost its end
marker may still have every line. Source of the format: ITU-T T.81, annexes B and G.
"""

import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

START, END = b"\xff\xd8", b"\xff\xd9"
# A stuffed zero belongs to compressed data, as do restart markers where an interval is set. (Fill bytes may precede a
# marker; patterns that begin with all of them are searched for twenty times as slowly.)
_MARKER = re.compile(rb"\xff([\x01-\xfe])")
_MARKER_BETWEEN_RESTARTS = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_SCAN, _RESTART_INTERVAL = 0xDA, 0xDD
_OTHER_SEGMENTS = {0xC4, 0xCC, *range(0xDB, 0xF0), 0xFE}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE_FRAMES = {0xC2, 0xC6, 0xCA, 0xCE}
_TAIL = 4
"""The last bytes of compressed data, of which at least one bit counts: 7 may be padding, and zeros stuffed."""


def first_picture(data: bytes) -> bytes | None:
    """Return the first picture of a JPEG file, from its start marker to an end marker; None if a part is missing.

    Only the picture's own segments count, not a thumbnail inside one of them, nor what follows them. Without an end
    marker a picture is whole if its last bytes matter and nothing that could follow would change it.
    """
    end, scans_complete, progressive = _structure(data)
    if data.startswith(END, end):
        picture, behind = data[: end + len(END)], data[end + len(END) :]
        # Where something is behind it, the marker may belong to that, and this be half a picture. Of a progressive one
        # every pixel is there early on; of the others the last ones are missing, which shows when they are decoded.
        cut = behind and not (scans_complete and not (progressive and lacks_data(picture)))
        return None if cut else picture
    content = data[:end].rstrip(b"\xff")  # half an end marker, or fill bytes before it
    whole = scans_complete and not lacks_data(content + END) and lacks_data(content[:-_TAIL] + END)
    return content + END if whole else None


def lacks_data(picture: bytes) -> bool:
    """Return whether more compressed data before the end marker would change a picture: then some are missing."""
    variants = (_pixels(picture.removesuffix(END) + _continuation(byte) + END) for byte in (0x00, 0x55, 0xAA))
    first = next(variants)
    return first is None or any(variant is None or not np.array_equal(first, variant) for variant in variants)


def _structure(data: bytes) -> tuple[int, bool, bool]:
    """Return where a picture's data end, if its scans send all, if it is progressive."""
    position, end, markers = len(START), len(data), _MARKER
    progressive = False
    lacking: dict[int, set[int]] = {}
    """By component, the coefficients of which the scans so far have not sent every bit."""
    while marker := markers.search(data, position):
        code = marker[1][0]
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        segment = data[marker.end() + 2 : marker.end() + length]
        is_frame = code in _FRAMES and not lacking
        if not (is_frame or code in _OTHER_SEGMENTS or code == _SCAN) or not len(segment) == length - 2 > 0:
            end = marker.start()  # the end marker, or none of this picture's
            break
        if is_frame:
            progressive = code in _PROGRESSIVE_FRAMES
            lacking = {component: set(range(64)) for component in segment[6::3]}
        elif code == _RESTART_INTERVAL:
            markers = _MARKER_BETWEEN_RESTARTS if any(segment) else _MARKER
        elif code == _SCAN:
            first, last, bits = segment[-3:].rjust(3, b"\0") if progressive else (0, 63, 0)
            for component in segment[1:-3:2] if bits & 15 == 0 else ():  # 0: the lowest bit is sent, too
                lacking.get(component, set()).difference_update(range(first, last + 1))
        position = marker.end() + length
    return end, bool(lacking) and not any(lacking.values()), progressive


def _continuation(byte: int) -> bytes:
    """Return bytes with which compressed data could go on, past every restart marker."""
    return b"".join(bytes([byte] * 16 + [0xFF, 0xD0 + number % 8]) for number in range(16))


def _pixels(data: bytes) -> NDArray[np.uint8] | None:
    # Pillow, because OpenCV's decoder prints a line about every surplus byte.
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            return np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
