"""The text inside an export file: zip members, gzip, or plain, each checked to its last byte.

Other readers skip what they cannot open; here every byte is accounted for. A zip member must match
its CRC, every stretch of the archive must belong to a member that the directory names, a gzip
stream must end with its own CRC and length. DuckDB's gzip reader checks none of these.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from relay.errors import InputFileError

READ_BYTES = 32 * 1024
GZIP_MAGIC = b"\x1f\x8b"
UTF8_BOM = b"\xef\xbb\xbf"
# zlib's window size that expects a gzip header and checks the trailer.
GZIP_WINDOW = 31
DEFLATE_OUTPUT_BYTES = 1 << 20

DATA_SUFFIXES = (".json.gz", ".json")
# Entries that operating systems and bucket exports add; read for their CRC, then left out.
_MARKERS = re.compile(r"(^|/)(__MACOSX/.*|\.DS_Store|[^/]*_complete)$")
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LONGEST_DESCRIPTOR = 24

# What Python's readers raise on bytes that are no proper archive.
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Member:
    """One stretch of lines in a file.

    Attributes:
        name: Path inside the archive; empty when the file itself is the member.
        pieces: Gives its text in pieces; raises InputFileError as soon as it meets damage.
    """

    name: str
    pieces: Callable[[], Iterator[bytes]]


def members_of(path: Path) -> list[Member]:
    """The members of a file, in the order of their project, hour and partition number.

    Args:
        path: A `.zip`, `.json.gz`, `.gz` or `.json` file; told apart by its first bytes.

    Raises:
        InputFileError: The file is empty, or a zip archive that is cut off or damaged.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise InputFileError(path, "is empty (0 bytes); fetch it again")
    if path.suffix == ".zip" or start.startswith(b"PK"):
        return _zip_members(path)

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from _text_of(file, path, path.name)

    return [Member("", pieces)]


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key under which `_9#2` comes before `_10#1`: export hours are not zero padded."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _zip_members(path: Path) -> list[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_layout(path, archive, entries)
            for entry in entries:
                _check_entry(path, archive, entry)
    except _DAMAGE as error:
        raise InputFileError(
            path, f"is not a whole zip archive ({error}); it is cut off or damaged, fetch it again"
        ) from error
    data = [entry for entry in entries if entry.filename.endswith(DATA_SUFFIXES)]
    data.sort(key=lambda entry: (natural_order(entry.filename), entry.header_offset))
    return [Member(entry.filename, _pieces_in_zip(path, entry)) for entry in data]


def _check_layout(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Every byte before the directory belongs to an entry: none fell out of the directory."""
    at = 0
    with path.open("rb") as file:
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if not at <= entry.header_offset <= at + (_LONGEST_DESCRIPTOR if at else 0):
                raise InputFileError(
                    path,
                    f"bytes {at} to {entry.header_offset} belong to no entry of the archive's "
                    "directory; it is damaged, fetch it again",
                )
            file.seek(entry.header_offset)
            magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            if magic != b"PK\x03\x04":
                raise zipfile.BadZipFile(f"no entry at byte {entry.header_offset}")
            at = entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
            at += entry.compress_size
    directory: int = archive.start_dir
    if not at <= directory <= at + (_LONGEST_DESCRIPTOR if at else 0):
        raise InputFileError(
            path,
            f"bytes {at} to {directory} belong to no entry of the archive's directory; "
            "it is damaged, fetch it again",
        )


def _check_entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Entries that are no data must be empty folders or known markers, and whole."""
    name = entry.filename
    if name.endswith(DATA_SUFFIXES) and not _MARKERS.search(name):
        return
    if not (entry.is_dir() and entry.file_size == 0) and not _MARKERS.search(name):
        raise InputFileError(
            path, f"member {name!r}: expected only .json.gz and .json files in the archive"
        )
    with archive.open(entry) as content:
        while content.read(READ_BYTES):
            pass


def _pieces_in_zip(path: Path, entry: zipfile.ZipInfo) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(entry) as content:
                yield from _text_of(cast(BinaryIO, content), path, entry.filename)
        except _DAMAGE as error:
            raise _damaged(path, entry.filename, error) from error

    return pieces


def _text_of(file: BinaryIO, path: Path, name: str) -> Iterator[bytes]:
    """The text of one member: gunzipped where it is gzip, without a byte order mark."""
    try:
        raw = iter(lambda: file.read(READ_BYTES), b"")
        first = next(raw, b"")
        is_gzip = first.startswith(GZIP_MAGIC)
        if name.endswith(".gz") and not is_gzip:
            what = "is empty (0 bytes)" if not first else "is not gzip, as its name says"
            raise InputFileError(path, f"member {name!r} {what}; it is damaged, fetch it again")
        pieces = _gunzip(first, raw) if is_gzip else _chain(first, raw)
        yield from _without_mark(pieces)
    except _DAMAGE as error:
        raise _damaged(path, name, error) from error


def _damaged(path: Path, name: str, error: Exception) -> InputFileError:
    return InputFileError(
        path, f"member {name!r} is cut off or damaged ({error}); fetch the file again"
    )


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _gunzip(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Inflate one or more gzip streams one behind the other, each to its trailer."""
    stream = zlib.decompressobj(GZIP_WINDOW)
    for piece in _chain(first, rest):
        while piece:
            if stream.eof:
                if not piece.strip(b"\0"):
                    break
                stream = zlib.decompressobj(GZIP_WINDOW)
            text = stream.decompress(piece, DEFLATE_OUTPUT_BYTES)
            if text:
                yield text
            piece = stream.unconsumed_tail or stream.unused_data
    if not stream.eof:
        raise EOFError("the gzip data ends before its end")


def _without_mark(pieces: Iterator[bytes]) -> Iterator[bytes]:
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= len(UTF8_BOM):
            break
    yield start.removeprefix(UTF8_BOM)
    yield from pieces
