"""Which files a path of the user's means: a file, or those in a folder, in order of their hours.

Amplitude's bucket exports put files of events and of merged ids side by side; the latter begin with
a hyphen. Source: Amplitude's Amazon S3 destination page.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from relay.errors import InputFileError
from relay.load.landing import SUM_SUFFIX
from relay.load.members import natural_order

SUFFIXES = (".zip", ".json.gz", ".gz", ".json")
_MERGES = re.compile(r"-\d+_.*\.json(\.gz)?")


def is_merge_file(path: Path) -> bool:
    """Whether the name is that of a bucket export of merged ids: `-{organisation}_….json.gz`."""
    return _MERGES.fullmatch(path.name) is not None


def is_no_by_product(path: Path) -> bool:
    """Whether a file may be an export of any vendor: no hidden file, and no checksum beside one."""
    return not path.name.startswith(".") and path.suffix != SUM_SUFFIX


def is_event_file(path: Path) -> bool:
    """Whether the name may be that of an export of events."""
    return path.name.endswith(SUFFIXES) and not is_merge_file(path)


def export_files(paths: Sequence[Path], *, takes: Callable[[Path], bool]) -> list[Path]:
    """The files that paths mean, each once.

    Args:
        paths: Files are taken as they are; of folders the files within that `takes` accepts; a
            name with `*` or `?` that is no file is a pattern.
        takes: Whether a file in a folder is meant.

    Raises:
        InputFileError: A path does not exist, or nothing in a folder is meant.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_file():
            files.append(path)
            continue
        if path.is_dir():
            found = [file for file in path.rglob("*") if file.is_file() and takes(file)]
        elif any(mark in str(path) for mark in "*?["):
            root = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(root)) if path.is_absolute() else str(path)
            found = [file for file in root.glob(pattern) if file.is_file()]
        else:
            raise InputFileError(path, "no such file or folder; expected an export file")
        if not found:
            raise InputFileError(path, "no export file in it, or none of that pattern")
        files += sorted(found, key=lambda file: natural_order(str(file)))
    return list(dict.fromkeys(files))
