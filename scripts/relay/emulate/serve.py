"""Serving the emulators to a person: the environment to paste, faults in one word."""

import shlex
import threading
from collections.abc import Callable, Mapping
from typing import Any

from relay.emulate.faults import Fault
from relay.emulate.house import Emulators
from relay.emulate.vendor import Vendor
from relay.errors import ConfigurationError


def serve(
    emulators: Emulators, *, announce: Callable[[Mapping[str, str]], None], stop: threading.Event
) -> None:
    """Start the emulators, tell where they are, and serve until `stop` is set.

    Args:
        emulators: Made, not yet started; whatever they are to hold is in them.
        announce: Called once they serve, with the environment that points to them.
        stop: Ends it; every connection is dropped then.
    """
    with emulators:
        announce(emulators.environ)
        stop.wait()


def environment_lines(environ: Mapping[str, str]) -> list[str]:
    """`export NAME=value` for a shell, in the order of the names."""
    return [f"export {name}={shlex.quote(value)}" for name, value in sorted(environ.items())]


def order_fault(emulators: Emulators, text: str) -> Fault:
    """Order one fault given as `VENDOR:KIND[,NAME=VALUE]…`, such as `clevertap:status,nth=3`.

    The names are those of `Fault`; positions are joined by `+`, and `times=all` hits all that
    follow.

    Raises:
        ConfigurationError: The text is not of that form, or the fault cannot be.
    """
    vendors: dict[str, Vendor] = {vendor.name: vendor for vendor in emulators.vendors}
    name, colon, rest = text.partition(":")
    if not colon or name not in vendors:
        raise ConfigurationError(
            f"fault {text!r}: expected VENDOR:KIND[,NAME=VALUE]… with one of {', '.join(vendors)}"
        )
    kind, *pairs = rest.split(",")
    document: dict[str, Any] = {"kind": kind}
    try:
        for pair in pairs:
            key, _, value = pair.partition("=")
            document[key] = _value(key, value)
        return vendors[name].faults.order(Fault.from_document(document))
    except ValueError as error:
        raise ConfigurationError(f"fault {text!r}: {error}") from error


def _value(key: str, value: str) -> Any:
    """The value of one name of a fault, by what it is.

    Raises:
        ValueError: It is not of the kind that the name takes.
    """
    if key in ("kind", "route"):
        return value
    if key == "positions":
        return [int(part) for part in value.split("+")]
    if key == "stored":
        if value not in ("true", "false"):
            raise ValueError("stored is true or false")
        return value == "true"
    if key == "times" and value == "all":
        return None
    return float(value) if key in ("seconds", "chance") else int(value)
