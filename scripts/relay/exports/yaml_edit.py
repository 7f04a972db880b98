"""Edits syncs.yml in place: only the characters that have to change do.

The file is read as nodes, which know where they stand; what is around them, comments and layout,
stays byte for byte as its owner wrote it.
"""

import json
import re
from collections.abc import Mapping
from datetime import date

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from relay.errors import ConfigurationError

Value = str | bool | date | tuple[str, ...]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*( [A-Za-z0-9_.-]+)*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}


def append_entry(text: str, list_key: str, entry: Mapping[str, Value]) -> str:
    """Add an entry at the end of a top-level list; the list is made where there is none.

    Args:
        text: The file, valid YAML whose top is a mapping (or nothing).
        list_key: Such as `event_exports`.
        entry: Keys and values of the new entry, in the order in which they are to stand.
    """
    top = _compose(text)
    found = None if top is None else _pair(top, list_key)
    if found is None:
        return f"{_ended(text)}{list_key}:\n{_block(entry, '  ')}"
    key, items = found
    if isinstance(items, SequenceNode) and items.value:
        if items.flow_style:
            end = _end(items.value[-1])
            return f"{text[:end]}, {_flow(entry)}{text[end:]}"
        end = _line_end(text, _end(items.value[-1]))
        dash = text.rindex("-", 0, items.value[0].start_mark.index)
        indent = " " * (dash - text.rfind("\n", 0, dash) - 1)
        return f"{_ended(text[:end])}{_block(entry, indent)}{text[end:]}"
    if isinstance(items, SequenceNode):
        start, end = items.start_mark.index, items.end_mark.index
        text = text[:start].rstrip(" ") + text[end:]
    end = _line_end(text, key.end_mark.index)
    return f"{_ended(text[:end])}{_block(entry, '  ')}{text[end:]}"


def set_keys(text: str, list_key: str, name: str, values: Mapping[str, Value | None]) -> str:
    """Change keys of the entry that has this `name`; a key with None is taken out.

    Raises:
        ConfigurationError: The entry is not written out here (an alias stands for it).
    """
    for key, value in values.items():
        text = _set_key(text, _entry(text, list_key, name), key, value)
    return text


def _compose(text: str) -> MappingNode | None:
    node = YAML(typ="safe", pure=True).compose(text)
    return node if isinstance(node, MappingNode) else None


def _entry(text: str, list_key: str, name: str) -> MappingNode:
    top = _compose(text)
    found = None if top is None else _pair(top, list_key)
    items = found[1].value if found and isinstance(found[1], SequenceNode) else []
    for item in items:
        if isinstance(item, MappingNode):
            pair = _pair(item, "name")
            if pair is not None and pair[1].value == name:
                return item
    raise ConfigurationError(f"{list_key}: no entry {name!r} is written out in the file")


def _pair(node: MappingNode, key: str) -> tuple[Node, Node] | None:
    for key_node, value_node in node.value:
        if isinstance(key_node, ScalarNode) and key_node.value == key:
            return key_node, value_node
    return None


def _set_key(text: str, entry: MappingNode, key: str, value: Value | None) -> str:
    found = _pair(entry, key)
    if found is not None:
        key_node, value_node = found
        start, end = value_node.start_mark.index, _end(value_node)
        if not entry.start_mark.index <= key_node.start_mark.index <= start:
            raise ConfigurationError(f"{key} is given by an alias; change it by hand")
        if value is None:
            return _without(text, entry, key_node, end)
        return f"{text[:start]}{_scalar(value)}{text[end:]}"
    if value is None:
        return text
    if entry.flow_style:
        end = _end(entry.value[-1][1])
        return f"{text[:end]}, {key}: {_scalar(value)}{text[end:]}"
    end = _line_end(text, _end(entry.value[-1][1]))
    indent = " " * entry.start_mark.column
    return f"{_ended(text[:end])}{indent}{key}: {_scalar(value)}\n{text[end:]}"


def _without(text: str, entry: MappingNode, key: Node, end: int) -> str:
    """The text without one key of an entry, and without what joined it to its neighbours."""
    start = key.start_mark.index
    if entry.flow_style:
        before = text.rindex(",", 0, start)
        return text[:before] + text[end:]
    line = text.rfind("\n", 0, start) + 1
    return text[:line] + text[_line_end(text, end) :]


def _end(node: Node) -> int:
    """Behind the last character of a node; of a block, behind its last value."""
    while isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(node, MappingNode) else last
    return int(node.end_mark.index)


def _line_end(text: str, position: int) -> int:
    """Behind the line feed of the line that a position is in."""
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _block(entry: Mapping[str, Value], indent: str) -> str:
    lines = [f"{key}: {_scalar(value)}\n" for key, value in entry.items()]
    return f"{indent}- " + f"{indent}  ".join(lines)


def _flow(entry: Mapping[str, Value]) -> str:
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in entry.items()) + "}"


def _scalar(value: Value) -> str:
    """A value as YAML reads it back; text goes without quotes only where it can be nothing else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return "[" + ", ".join(_scalar(one) for one in value) + "]"
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
