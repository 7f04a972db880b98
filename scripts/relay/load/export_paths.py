"""Which files a `--path` means: a file, every file of a folder, or what a pattern matches."""

from collections.abc import Iterable
from pathlib import Path

from relay.errors import InputFileError
from relay.load.landing import SUM_SUFFIX


def export_files(paths: Iterable[Path]) -> list[Path]:
    """The files that some paths name, each once, in the order given; those of a folder by name.

    Hidden files and checksums are no exports.

    Raises:
        InputFileError: A path names nothing.
    """
    files: dict[Path, None] = {}
    for path in paths:
        named = _files_of(path)
        if not named:
            raise InputFileError(path, "names no file; expected a file, a folder or a pattern")
        files.update(dict.fromkeys(named))
    return list(files)


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if each.is_file())
    else:
        root = Path(path.anchor)
        pattern = str(path.relative_to(root)) if path.anchor else str(path)
        found = sorted(each for each in root.glob(pattern) if each.is_file())
    return [each for each in found if not each.name.startswith(".") and each.suffix != SUM_SUFFIX]
