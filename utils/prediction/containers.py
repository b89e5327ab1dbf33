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
    end = 0
    while end + 8 <= size:
        file.seek(end)
        length = _part_length(file.read(16))
        if length == 0:  # something behind the video, or a last part of no stated length
            return False
        end += length
    return end > size


def _part_length(head: bytes) -> int:
    """Return how long the part is that begins with these 16 bytes; 0 where it does not say, or is of no known kind."""
    if head[:4] in (b"RIFF", b"RIFX"):  # files of more than a gigabyte have several
        length = int.from_bytes(head[4:8], "big" if head[:4] == b"RIFX" else "little")
        return 0 if length in (0, 2**32 - 1) else 8 + length
    if head[4:8] in _BOXES:
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        return length if length >= 8 else 0  # 0: up to the end of the file
    if head[:4] in (_EBML, _SEGMENT) and head[4]:
        # The zeros before the first one say of how many more bytes the length is; all ones stand for unknown.
        more = 8 - head[4].bit_length()
        length = int.from_bytes(bytes([head[4] & (0x7F >> more)]) + head[5 : 5 + more], "big")
        return 0 if length == 2 ** (7 * (more + 1)) - 1 else 5 + more + length
    return 0
