"""What happens in the shop: event types and properties, with texts that break weak readers."""

from typing import Any

from relay.rehearsal.noise import between, chance, noise, pick
from relay.rehearsal.script import Visit

PRODUCTS = (
    ("sku-001", "Café crème ☕", 349),
    ("sku-002", "Masala chai 🌶️", 199),
    ("sku-003", "抹茶ラテ", 425),
    ("sku-004", 'Jalapeño "extra hot" chips', 150),
    ("sku-005", "O'Brien's stout\tcrate of 6", 1299),
    ("sku-006", "Smörgåstårta, line one\nline two", 2450),
    ("sku-007", "C:\\beans\\dark", 560),
    ("sku-008", "<b>Honey & figs</b>", 275),
    ("sku-009", "👩‍🍳 cookbook", 999),
    ("sku-010", "قهوة عربية", 640),
)
SEARCHES = ("oat milk", "größte Tasse", "décaf", "コーヒー", "50% off; DROP TABLE", "  beans  ")
SESSION_START, SESSION_END = "[Amplitude] Start Session", "[Amplitude] End Session"


def event_type(seed: int, visit: Visit, index: int, *, signs_in: bool) -> str:
    """The type of an event of a visit.

    Args:
        seed: Of the world.
        visit: What it is part of.
        index: Its place in the visit.
        signs_in: Whether it is the first one with a user id after anonymous ones. Some apps send
            an identify call there, which shows as a `$identify` row; an ordinary event follows.
    """
    if visit.is_server_side:
        return "Order Shipped"
    if signs_in and visit.events - index > 1:
        return "$identify" if chance(40, seed, visit.person, visit.number, 31) else "Signed In"
    if index == 0 and visit.events > 2:
        return SESSION_START
    left = visit.events - 1 - index
    if visit.ending == "order" and left == 0:
        return "Order Completed"
    if visit.ending in ("cart", "order") and left <= 1:
        return "Add to Cart" if visit.ending == "cart" else "Checkout Started"
    if visit.ending == "browse" and left == 0 and visit.events > 3:
        return SESSION_END
    return pick(
        ("Home Viewed", "Product Viewed", "Product Viewed", "Search", "Wishlist Updated"),
        seed, visit.person, visit.number, index, 32,
    )  # fmt: skip


def event_properties(seed: int, visit: Visit, index: int, name: str) -> dict[str, Any]:
    """Properties of an event: scalars, lists, nested objects, long numbers."""
    key = (seed, visit.person, visit.number, index)
    sku, title, cents = pick(PRODUCTS, *key, 33)
    if name in (SESSION_START, SESSION_END, "$identify"):
        return {}
    if name == "Search":
        return {"query": pick(SEARCHES, *key, 34), "results": noise(*key, 35) % 40}
    if name == "Signed In":
        return {"method": pick(("password", "otp", "google"), *key, 36)}
    if name in ("Order Completed", "Order Shipped"):
        return {
            "order_id": str(9_007_199_254_740_993 + noise(*key, 37) % 10**6),
            "items": [{"sku": sku, "name": title, "quantity": between(1, 4, *key, 38)}],
            "$revenue": cents * between(1, 4, *key, 38) / 100,
            "currency": "INR",
            "gift": chance(10, *key, 39),
        }
    if name == "Home Viewed":
        return {"variants": ["A", "B"] if chance(50, *key, 40) else [], "referrer": None}
    return {"sku": sku, "name": title, "price": cents / 100, "position": between(1, 24, *key, 41)}
