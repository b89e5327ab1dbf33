"""Whether a video file is shorter than it says of itself: decoders read what there is of it and keep silent."""

import os
from typing import BinaryIO

_BOXES = (b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"ftyp", b"styp", b"free", b"skip", b"wide", b"meta", b"uuid")
_EBML, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")


def is_cut_off(file: BinaryIO) -> bool:
    """Return whether a video file, as that of a download that broke off, ends before its outermost parts do.

    Known are MP4 and QuickTime (ISO/IEC 14496-12, section 4.2), AVI (RIFF) and Matroska with WebM (RFC 9559, RFC 8794);
    of others, and where the file does not say how long it is, the answer is False. Reads from any place in the file.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] in (b"RIFF", b"RIFX"):
        return _riff_end(file, size) > size
    if head[:4] == _EBML:
        return _segment_end(file) > size
    if head[4:8] in _BOXES:
        return _boxes_end(file, size) > size
    return False


def _riff_end(file: BinaryIO, size: int) -> int:
    """Return where the last of the chunks "RIFF" ends; files of more than a gigabyte have several."""
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(8)
        length = int.from_bytes(head[4:], "big" if head[:4] == b"RIFX" else "little")
        if head[:4] not in (b"RIFF", b"RIFX") or length in (0, 2**32 - 1):  # something behind it, or it does not say
            break
        end += 8 + length + length % 2
    return end - 1 if end == size + 1 else end  # the filling byte at the end may be missing


def _boxes_end(file: BinaryIO, size: int) -> int:
    end = 0
    while end + 8 <= size:
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if head[4:8] not in _BOXES or length < 8:  # something behind the video, or the last box, up to the file's end
            break
        end += length
    return end


def _segment_end(file: BinaryIO) -> int:
    """Return where the segment, which holds all but the file's own header, ends; 0 where it does not say."""
    file.seek(4)
    header = _ebml_number(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return 0
    length = _ebml_number(file)
    return 0 if length is None else file.tell() + length


def _ebml_number(file: BinaryIO) -> int | None:
    """Read a length: the zeros before the first one say of how many bytes it is; all ones stand for unknown."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + file.read(more), "big")
    return None if value == 2 ** (7 * (more + 1)) - 1 else value
