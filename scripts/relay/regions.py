"""Hosts of the vendors by region: the seed `vendor_regions`, read where settings are made."""

import csv
from functools import cache
from pathlib import Path

from relay.errors import ConfigurationError

SEED = Path(__file__).resolve().parents[2] / "seeds" / "vendors" / "vendor_regions.csv"


@cache
def hosts_of(vendor: str, api: str) -> dict[str, str]:
    """Hosts, scheme and all, by region, in the order of the seed.

    Raises:
        ConfigurationError: The seed cannot be read, or has no row of this vendor and interface.
    """
    found = {row["region"]: row["host"] for row in _rows() if _is_of(row, vendor, api)}
    if not found:
        raise ConfigurationError(f"{SEED}: expected a row of vendor {vendor}, api {api}")
    return found


@cache
def host_of(vendor: str, api: str, region: str | None) -> str:
    """The host of a region; of the vendor's default one where that is None.

    Raises:
        ConfigurationError: The seed has no such region, or no default.
    """
    hosts = hosts_of(vendor, api)
    if region is None:
        defaults = [row for row in _rows() if row["is_default"] == "true"]
        region = next((row["region"] for row in defaults if _is_of(row, vendor, api)), None)
    if region not in hosts:
        asked = "default region" if region is None else f"region {region}"
        raise ConfigurationError(f"{SEED}: vendor {vendor}, api {api} has no {asked}")
    return hosts[region]


@cache
def _rows() -> list[dict[str, str]]:
    try:
        with SEED.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{SEED}: cannot be read ({error})") from error
    expected = {"vendor", "api", "region", "host", "is_default"}
    if rows and not expected <= rows[0].keys():
        raise ConfigurationError(f"{SEED}: expected the columns {', '.join(sorted(expected))}")
    return rows


def _is_of(row: dict[str, str], vendor: str, api: str) -> bool:
    return (row["vendor"], row["api"]) == (vendor, api)
