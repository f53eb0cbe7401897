"""Bytes of a text file, in any pieces, to its lines: UTF-8, UTF-16 or Windows-1252, ended by LF, CRLF or CR."""

import codecs
import re
from collections.abc import Callable

LONGEST_LINE = 65_536  # characters; of a longer line only the beginning is kept, one character more than this

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)")
_BYTE_LINE = re.compile(rb"[^\r\n]*[\r\n]*")

_Decode = Callable[[bytes, bool], str]


class LineDecoder:
    """A line comes out, its end included, as soon as it is complete. The pieces the bytes come in change nothing."""

    def __init__(self) -> None:
        self._start = b""
        self._decode: _Decode | None = None
        self._text = ""

    def feed(self, chunk: bytes) -> list[str]:
        if self._decode is None:
            self._start += chunk
            if len(self._start) < _SNIFFED:
                return []
            self._decode, chunk = _sniff(self._start)
        return self._lines(self._decode(chunk, False))

    def close(self) -> list[str]:
        """The last line, which may lack its end."""
        chunk = b""
        if self._decode is None:
            self._decode, chunk = _sniff(self._start)
        lines = self._lines(self._decode(chunk, True))
        rest, self._text = self._text, ""
        return [*lines, rest] if rest else lines

    def _lines(self, text: str) -> list[str]:
        # NUL goes: Postgres cannot store it, and no person typed it.
        text = self._text + text.replace("\0", "")
        # A CR at the end waits: it may be the first half of a CRLF.
        known = len(text) - text.endswith("\r")
        cut = max(text.rfind("\n", 0, known), text.rfind("\r", 0, known)) + 1
        self._text = text[cut:]
        if len(self._text) > LONGEST_LINE:
            self._text = self._text[: LONGEST_LINE + 1] + "\r" * text.endswith("\r")
        return _LINE.findall(text[:cut])


_SNIFFED = 4  # bytes; enough for a byte order mark, and for the NULs of two ASCII letters in UTF-16


def _sniff(start: bytes) -> tuple[_Decode, bytes]:
    """How to decode a file that starts so, and `start` without its byte order mark."""
    if start.startswith(codecs.BOM_UTF8):
        return _Eight().decode, start[3:]
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _sixteen("le" if start.startswith(codecs.BOM_UTF16_LE) else "be"), start[2:]
    nuls = [byte == 0 for byte in start[:_SNIFFED]]
    if nuls == [False, True, False, True]:
        return _sixteen("le"), start
    if nuls == [True, False, True, False]:
        return _sixteen("be"), start
    return _Eight().decode, start


def _sixteen(order: str) -> _Decode:
    return codecs.getincrementaldecoder(f"utf-16-{order}")("replace").decode


class _Eight:
    """UTF-8, and each line that is not valid UTF-8 is Windows-1252.

    Line by line, because the first accent may come megabytes into a file, when the rows before it are long stored, and
    because one broken byte in a UTF-8 file should spoil one name, not every name after it.
    """

    def __init__(self) -> None:
        self._tail = b""

    def decode(self, chunk: bytes, final: bool) -> str:
        data = self._tail + chunk
        cut = len(data) if final else max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if len(data) - cut > 4 * LONGEST_LINE:  # too long a line in any encoding: let it be cut
            cut = len(data)
        self._tail = data[cut:]
        try:
            return data[:cut].decode()
        except UnicodeDecodeError:
            return "".join(map(_line, _BYTE_LINE.findall(data[:cut])))


def _line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")
