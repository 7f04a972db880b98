"""A home that holds a rehearsal is marked, so that nothing made up is ever taken for real.

What a rehearsal delivered stands in its ledger as confirmed. A real sync over that ledger would
take the emulators' members for the destination's, so it is refused until the rehearsal is cleared.
"""

import json
import shutil
from urllib.parse import urlsplit

from relay.durable import writing
from relay.errors import ConfigurationError
from relay.settings import Home, Settings

# Not target/, where dbt keeps what it read of the project: reading it anew takes seconds.
_MADE_BY_A_RUN = ("landing", "warehouse", "outbox", "ledger", "reports", "logs")


def is_rehearsal(home: Home) -> bool:
    """Whether what the home holds came from the emulators."""
    return home.rehearsal_marker.exists()


def begin(home: Home, about: dict[str, object]) -> None:
    """Clear the rehearsal before this one and mark the home.

    Raises:
        ConfigurationError: The home holds plans or a ledger that are no rehearsal.
    """
    if is_rehearsal(home):
        clear(home)
    elif any(home.ledger.glob("*.ndjson")) or any(home.outbox.glob("*/manifest.json")):
        raise ConfigurationError(
            f"{home.root} holds real plans or a real ledger: a rehearsal would mix with them;"
            " set RELAY_HOME to a new folder"
        )
    home.root.mkdir(parents=True, exist_ok=True)
    with writing(home.rehearsal_marker) as file:
        file.write((json.dumps(about, indent=2) + "\n").encode())


def clear(home: Home) -> None:
    """Remove what the rehearsal made; the mark last, so that a cut-off clearing is done again."""
    for name in _MADE_BY_A_RUN:
        folder = home.root / name
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if path.name != ".gitkeep":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    home.rehearsal_marker.unlink(missing_ok=True)


def refuse_over_rehearsal(settings: Settings) -> None:
    """Stop a real run in a home that holds a rehearsal.

    Raises:
        ConfigurationError: The home is marked and some vendor's address is not on loopback.
    """
    if not is_rehearsal(settings.home):
        return
    env = settings.env
    hosts = [env.amplitude_host(), env.amplitude_ingest_host(), env.clevertap_host()]
    hosts += [env.lytics_host(), env.lytics_bulk_host()]
    real = [host for host in hosts if urlsplit(host).hostname not in {"127.0.0.1", "localhost"}]
    if real:
        raise ConfigurationError(
            f"{settings.home.root} holds a rehearsal, whose ledger knows only the emulators'"
            f" members, and {real[0]} is real; set RELAY_HOME to a new folder, or run"
            " `relay rehearse --clear`"
        )
