"""Reads syncs.yml: every problem of the file at once, each with its line.

YAML 1.2 is read as nodes, which know their lines, and only then checked against the models of
`config`. So a number that was meant as text, a key that stands twice and a misspelt key are all
seen before anything is lost in plain values.
"""

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from relay.config import Config
from relay.errors import ConfigurationError

Location = tuple[str | int, ...]
_YAML_TAGS = "tag:yaml.org,2002:"
_TEXT_TAG = f"{_YAML_TAGS}str"
_SYNC_LISTS = ("cohort_syncs", "event_imports", "event_exports")


@dataclass
class _Document:
    """Plain values of a YAML file, where each stands (1-based lines) and what was written."""

    values: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    written: dict[Location, str] = field(default_factory=dict)
    problems: list[tuple[int, Location, str]] = field(default_factory=list)

    def line_of(self, location: Location) -> int:
        """The line of a place, or of the nearest place around it that is in the file."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def report(self, location: Location, text: str, *, line: int | None = None) -> None:
        self.problems.append((line or self.line_of(location), location, text))


def read_config(path: Path) -> Config:
    """The configuration that a syncs.yml holds; paths in it are taken from its folder.

    Raises:
        ConfigurationError: The file cannot be read as YAML, or is not what `config` describes.
            The message has a line for every problem: file, line, field, what was expected.
    """
    document = _read(path)
    config = _validate(document, path.parent)
    for name_location in _doubled_names(document.values):
        document.report(
            name_location, "another sync, import or export has this name; names are given once"
        )
    if document.problems or config is None:
        raise ConfigurationError.of_file(
            path, ((line, _dotted(place), text) for line, place, text in document.problems)
        )
    return config


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _read(path: Path) -> _Document:
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise ConfigurationError(
            f"{path}:{line}: is not YAML: {error.problem or error.context}"
        ) from error
    except YAMLError as error:
        raise ConfigurationError(f"{path}: is not YAML: {error}") from error
    document = _Document()
    document.values = {} if node is None else _plain(yaml, node, (), document, ())
    if document.values is None:
        document.values = {}
    return document


def _plain(
    yaml: YAML, node: Node, location: Location, document: _Document, around: tuple[Node, ...]
) -> Any:
    """The node's value as plain Python, its lines and problems noted in `document`."""
    document.lines.setdefault(location, node.start_mark.line + 1)
    if any(node is other for other in around):
        document.report(location, "an alias may not stand for what it is in")
        return None
    around = (*around, node)
    if isinstance(node, SequenceNode):
        return [
            _plain(yaml, item, (*location, index), document, around)
            for index, item in enumerate(node.value)
        ]
    if isinstance(node, MappingNode):
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                document.report(location, "a key must be text", line=line)
                continue
            key = key_node.value
            place = (*location, key)
            if key_node.tag != _TEXT_TAG:
                document.report(place, f'a key must be text; quote it: "{key}"', line=line)
            if key in values:
                first = document.lines[place]
                document.report(place, f"stands twice, first in line {first}", line=line)
                continue
            document.lines[place] = line
            values[key] = _plain(yaml, value_node, place, document, around)
        return values
    document.written[location] = node.value
    if str(node.tag).startswith(_YAML_TAGS):
        return yaml.constructor.construct_object(node)
    document.report(location, f"the tag {node.tag} has no meaning here; leave it out")
    return None


def _validate(document: _Document, folder: Path) -> Config | None:
    try:
        return Config.model_validate(document.values, context={"folder": folder})
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            location: Location = detail["loc"]
            if detail["type"] == "relay_conflicts":
                for key, text in detail["ctx"]["conflicts"]:
                    document.report((*location, key), text)
            elif location[-1:] == ("[key]",):
                document.report(location[:-1], f"this key is not right: {_expected(detail, '')}")
            else:
                place = _place(location)
                written = document.written.get(place, "")
                document.report(place, _expected(detail, written))
    return None


def _place(location: Location) -> Location:
    """The place in the file: without the names pydantic gives the branches of a union."""
    return tuple(
        part
        for part in location
        if not (isinstance(part, str) and (part.startswith("function-") or "[" in part))
    )


def _expected(detail: ErrorDetails, written: str) -> str:
    kind = detail["type"]
    if kind == "relay":
        return str(detail["ctx"]["text"])
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        legal = _legal_keys(detail["loc"][:-1])
        near = get_close_matches(str(detail["loc"][-1]), legal, n=1)
        advice = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(legal)}"
        return f"is no key here; {advice}"
    if kind in {"string_type", "string_sub_type"} and written:
        return f'expected text; quote it: "{written}"'
    if kind == "literal_error":
        return f"expected {detail['ctx']['expected']}".replace("'", "")
    if kind == "bool_type":
        return "expected true or false"
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return "expected a mapping of keys to values"
    if kind in {"tuple_type", "list_type"}:
        return "expected a list"
    return detail["msg"].replace("Input should", "expected to").replace("to be a", "a")


def _legal_keys(location: Location) -> list[str]:
    """The keys that the mapping at a place may have."""
    model: Any = Config
    for part in location:
        if isinstance(part, str):
            fields = {(info.alias or name): info for name, info in model.model_fields.items()}
            model = _model_in(fields[part].annotation)
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


def _doubled_names(values: Any) -> list[Location]:
    """Where a name stands that an earlier entry, of any of the three lists, has already."""
    doubled: list[Location] = []
    seen: set[str] = set()
    for key in _SYNC_LISTS:
        entries = values.get(key) if isinstance(values, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, str):
                if name in seen:
                    doubled.append((key, index, "name"))
                seen.add(name)
    return doubled
