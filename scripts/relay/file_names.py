"""Names that come from a vendor, as names of files."""

import unicodedata

_HYPHENS = frozenset("/\\\0")


def file_name_of(text: str) -> str:
    """A text as (part of) a file's name.

    White space, tabs, slashes and NUL become hyphens, one for one; other control characters become
    `?`; all else stays, emoji and every script included. Two texts may have one name.

    Source:
        CleverTap, Amplitude Export: "Do CleverTap data exports allow special characters?"
    """
    return "".join(map(_character, text))


def _character(one: str) -> str:
    if one.isspace() or one in _HYPHENS:
        return "-"
    return "?" if unicodedata.category(one) == "Cc" else one
