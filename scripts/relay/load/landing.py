"""landing/: the exact bytes that were received, each file with its SHA-256 beside it.

A file is written under a temporary name, flushed to disk and renamed, then its `.sha256` is written
the same way; a file without one was cut off by a crash between the two and is given one when it is
found. Nothing here is changed afterwards.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from relay.durable import sha256_of, sync_folder, writing
from relay.errors import InputFileError
from relay.faultpoints import reach
from relay.settings import Home

COPY_BYTES = 1 << 20
# The name that `durable.writing` gives a file until it is whole: with the number of its process.
_HALF_WRITTEN = re.compile(r"\..+\.\d+")
SUM_SUFFIX = ".sha256"


@dataclass(frozen=True)
class Landed:
    """A file in landing/.

    Attributes:
        path: Where it is.
        source_file: The same below landing/, with `/`: what raw tables keep.
        sha256: Of its bytes, in hex.
        size: In bytes.
    """

    path: Path
    source_file: str
    sha256: str
    size: int


def land(home: Home, source_file: str, chunks: Iterable[bytes]) -> Landed:
    """Write bytes as they arrive, as a whole or not at all.

    Args:
        home: Whose landing/.
        source_file: Path below landing/.
        chunks: The content in order; when it raises, nothing is left.

    Returns:
        The file, with its checksum written beside it.
    """
    path = home.landing / source_file
    _make_folder(path.parent)
    digest = hashlib.sha256()
    size = 0
    with writing(path) as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
    _write_sum(path, digest.hexdigest())
    return Landed(path, source_file, digest.hexdigest(), size)


def land_file(home: Home, source: str, path: Path) -> Landed:
    """Bring a file of the user's into landing/; one with the same bytes is there only once.

    Args:
        home: Whose landing/.
        source: Folder below landing/, such as `amplitude_events`.
        path: The file; inside landing/ it stays where it is.

    Raises:
        InputFileError: It is no file that can be read.
    """
    if not path.is_file():
        raise InputFileError(path, "no such file; expected the path of an export file")
    inside = _below_landing(home, path)
    if inside is not None:
        return found(home, inside)
    try:
        sha256 = sha256_of(path)
        source_file = f"{source}/files/{sha256[:16]}/{path.name}"
        target = home.landing / source_file
        if target.exists() and sha256_of(target) == sha256:
            return found(home, source_file)
        with path.open("rb") as file:
            landed = land(home, source_file, iter(lambda: file.read(COPY_BYTES), b""))
    except OSError as error:
        raise InputFileError(path, f"cannot be read or copied: {error.strerror}") from error
    if landed.sha256 != sha256:
        landed.path.unlink()
        _sum_path(landed.path).unlink()
        raise InputFileError(path, "changed while it was read; load it once it is complete")
    return landed


def found(home: Home, source_file: str) -> Landed:
    """A file that is in landing/ already; its checksum is made if a crash kept it from being.

    Raises:
        InputFileError: The bytes are no longer those that were received.
    """
    path = home.landing / source_file
    sha256 = sha256_of(path)
    sums = _sum_path(path)
    if not sums.exists():
        _write_sum(path, sha256)
    elif sums.read_text(encoding="utf-8").split(maxsplit=1)[0] != sha256:
        raise InputFileError(
            path,
            f"its bytes are not those that were received: {sums.name} has another SHA-256; "
            "restore the file, or delete both to fetch it again",
        )
    return Landed(path, source_file, sha256, path.stat().st_size)


def sweep(home: Home, source: str) -> None:
    """Take away what a killed run left half written; nobody else may be landing `source`."""
    folder = home.landing / source
    for path in folder.rglob(".*") if folder.is_dir() else ():
        if _HALF_WRITTEN.fullmatch(path.name) and path.is_file():
            path.unlink()


def remove(landed: Landed) -> None:
    """Take a file away that brought nothing: every line of it is in landing/ in another file."""
    reach("landing.before_remove")
    landed.path.unlink(missing_ok=True)
    _sum_path(landed.path).unlink(missing_ok=True)
    sync_folder(landed.path.parent)
    reach("landing.removed")


def _below_landing(home: Home, path: Path) -> str | None:
    landing = home.landing.resolve()
    resolved = path.resolve()
    return resolved.relative_to(landing).as_posix() if landing in resolved.parents else None


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    missing = [folder, *folder.parents]
    missing = missing[: next(n for n, parent in enumerate(missing) if parent.is_dir())]
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        sync_folder(new.parent)


def _sum_path(path: Path) -> Path:
    return path.with_name(path.name + SUM_SUFFIX)


def _write_sum(path: Path, sha256: str) -> None:
    """Beside the file, in the form that `sha256sum --check` reads."""
    with writing(_sum_path(path)) as file:
        file.write(f"{sha256}  {os.fsencode(path.name).decode('utf-8', 'replace')}\n".encode())
