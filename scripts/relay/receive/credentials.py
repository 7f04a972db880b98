"""How a sender proves who it is: HTTP Basic, or a fixed header, as MoEngage's Streams offers."""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from relay.errors import ConfigurationError
from relay.settings import Environment

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Credentials:
    """What is accepted: either one suffices; at least one is there.

    Attributes:
        basic: User and password.
        header: Name of a header, and its whole value.
    """

    basic: tuple[str, SecretStr] | None
    header: tuple[str, SecretStr] | None

    def accept(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers (names compared without case) is the sender's."""
        return self._accepts_basic(headers) or self._accepts_header(headers)

    def _accepts_basic(self, headers: Mapping[str, str]) -> bool:
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        if self.basic is None or scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        user, password = self.basic
        return hmac.compare_digest(given, f"{user}:{password.get_secret_value()}".encode())

    def _accepts_header(self, headers: Mapping[str, str]) -> bool:
        if self.header is None:
            return False
        name, value = self.header
        given = headers.get(name.lower())
        # Header values are bytes that the server read as Latin-1.
        return given is not None and hmac.compare_digest(
            given.encode("latin-1"), value.get_secret_value().encode()
        )


def streams_credentials(environment: Environment) -> Credentials:
    """The credentials of MoEngage's Streams.

    Raises:
        ConfigurationError: None is set, only half of Basic is, or the header is no `Name: value`.
    """
    user, password = environment.moengage_streams_user, environment.moengage_streams_password
    header = environment.moengage_streams_header
    if (user is None) != (password is None):
        raise ConfigurationError(
            "MOENGAGE_STREAMS_USER and MOENGAGE_STREAMS_PASSWORD go together; set both"
        )
    if user is None and header is None:
        raise ConfigurationError(
            "nobody may send to an open door: set MOENGAGE_STREAMS_USER and"
            " MOENGAGE_STREAMS_PASSWORD, or MOENGAGE_STREAMS_HEADER (Name: value), and give the"
            " same to MoEngage"
        )
    basic = None if user is None or password is None else (user, password)
    return Credentials(basic, None if header is None else _header(header))


def _header(text: SecretStr) -> tuple[str, SecretStr]:
    name, colon, value = text.get_secret_value().partition(":")
    if not colon or not _HEADER_NAME.fullmatch(name) or not value.strip():
        raise ConfigurationError("MOENGAGE_STREAMS_HEADER: expected a header as `Name: value`")
    return name, SecretStr(value.strip())
