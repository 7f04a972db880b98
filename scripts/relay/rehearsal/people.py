"""Names, user ids and devices of made-up people.

Everything is invented; addresses end in `.example`, telephone numbers and IP addresses are from
ranges reserved for documentation.
"""

from dataclasses import dataclass
from functools import lru_cache

from relay.rehearsal.noise import between, noise, pick, uuid_text

GIVEN_NAMES = (
    "Asha", "Bruno", "Chloë", "Dmitri", "Esra", "Farid", "Gwen", "Hana", "Ibrahim", "José",
    "Kavya", "Lena", "Mateo", "Nadia", "Ōsaki", "Priya", "Quentin", "Rania", "Søren", "Thảo",
    "Usha", "Vikram", "Wanjiru", "Ximena", "Yuki", "Zoë", "李雷", "Мария", "نور", "Ólafur",
)  # fmt: skip
FAMILY_NAMES = (
    "Rao", "García", "Nguyễn", "O'Neill", "Müller", "Haddad", "Kowalski", "Silva", "Andersson",
    "Okafor", "Bose", "Tanaka", "Ivanova", "Fernandes", "Ahmed", "Łukasik", "Mbeki", "Dubois",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person usually is, as Amplitude's location lookup names it."""

    city: str
    region: str
    country: str
    latitude: float
    longitude: float
    language: str
    dma: str | None = None


PLACES = (
    Place("Pune", "Maharashtra", "India", 18.52, 73.86, "English"),
    Place("Bengaluru", "Karnataka", "India", 12.97, 77.59, "Kannada"),
    Place("Kochi", "Kerala", "India", 9.93, 76.27, "Malayalam"),
    Place("München", "Bavaria", "Germany", 48.14, 11.58, "German"),
    Place("São Paulo", "São Paulo", "Brazil", -23.55, -46.63, "Portuguese"),
    Place("東京", "Tokyo", "Japan", 35.68, 139.69, "Japanese"),
    Place("Nairobi", "Nairobi", "Kenya", -1.29, 36.82, "English"),
    Place(
        "San Francisco", "California", "United States", 37.77, -122.39, "English",
        "San Francisco-Oakland-San Jose, CA",
    ),
    Place("Reykjavík", "Capital Region", "Iceland", 64.15, -21.94, "Icelandic"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Model:
    """What a kind of device reports about itself."""

    platform: str
    os_name: str
    os_version: str
    brand: str | None
    manufacturer: str | None
    model: str | None
    family: str | None
    device_type: str | None
    library: str
    carrier: str | None


MODELS = (
    Model(
        "Android", "android", "14", "Samsung", "Samsung", "SM-G991B", "Samsung Galaxy",
        "Samsung Galaxy S21", "amplitude-analytics-android/1.21.0", "Airtel",
    ),
    Model(
        "iOS", "ios", "17.2", "Apple", "Apple", "iPhone14,7", "Apple iPhone", "Apple iPhone 14",
        "amplitude-swift/1.11.2", "Vodafone",
    ),
    Model(
        "Web", "Chrome", "126.0.0.0", None, None, "Windows", "Windows", "Windows",
        "amplitude-ts/2.11.8", None,
    ),
    Model(
        "Web", "Firefox", "127.0", None, None, "Linux", "Linux", "Linux", "amplitude-js/5.2.2",
        None,
    ),
)  # fmt: skip


def full_name(seed: int, person: int) -> str:
    """A given and a family name; two people may share one."""
    return f"{pick(GIVEN_NAMES, seed, person, 11)} {pick(FAMILY_NAMES, seed, person, 12)}"


def user_id(seed: int, person: int, name: str) -> str:
    """The shop's id of a signed-in person; no two are equal even when case is folded.

    The shop changed its mind more than once: customer numbers, e-mail addresses, names in mixed
    case, and names with any letter. The person's number stands in each, which keeps them apart.
    """
    style = noise(seed, person, 13) % 20
    dotted = name.replace(" ", ".")
    if style < 11:
        return f"cust-{person:06d}"
    if style < 15:
        return f"shopper{person}@mail{noise(seed, person, 14) % 7}.example"
    if style < 18:
        return f"{dotted}{person}"
    return f"{dotted.lower()}.{person}"


def device_id(seed: int, person: int, device: int = 0) -> str:
    """An id as the platform's library makes it; at most 64 characters, all fit for CleverTap."""
    text = uuid_text(seed, person, device, 15)
    library = device_model(seed, text).library
    if library.startswith("amplitude-swift"):
        return text.upper()
    if library.startswith(("amplitude-js", "amplitude-analytics-android")):
        return f"{text}R"
    return text


@lru_cache(maxsize=65_536)
def device_model(seed: int, device: str) -> Model:
    """The kind of a device, whoever uses it."""
    digits = "".join(character for character in device.lower() if character.isalnum())
    return MODELS[noise(seed, *digits[:12].encode(), 16) % len(MODELS)]


def server_device_id(seed: int, user: str) -> str:
    """The device id Amplitude derives from a user id when an event came without a device.

    Real ones have the shape of a version 5 UUID; how they are hashed is UNVERIFIED, so this one
    is only alike.
    """
    return uuid_text(seed, *user.encode(), 17, version=5)


def place(seed: int, person: int) -> Place:
    """Where the person is."""
    return pick(PLACES, seed, person, 18)


def ip_address(seed: int, person: int) -> str:
    """An address of the documentation ranges of RFC 5737."""
    network = pick(("192.0.2", "198.51.100", "203.0.113"), seed, person, 19)
    return f"{network}.{between(1, 254, seed, person, 20)}"
