"""What the Lytics emulator can be told to do otherwise."""

from dataclasses import dataclass


@dataclass(slots=True)
class LyticsSwitches:
    """Limits and behaviours of the Lytics emulator; they may be changed while it runs.

    UNVERIFIED marks what no source settles; there the default is the harsher reading.

    Attributes:
        max_bytes: Bodies of the JSON host; as many or more are answered 413 (UNVERIFIED code).
        bulk_max_bytes: The same for the bulk host (UNVERIFIED).
        prefix_kept: Whether rows before the first bad one are stored although the answer is 400
            (UNVERIFIED).
        token_in_query: Whether `access_token=` in the address is taken (older documentation).
        empty_is_missing: Whether an empty text is no value for a direct mapping (UNVERIFIED for
            the hosted service). By default it is a value, so that an empty cell wipes a field.
        max_neighbours: Unique ids one profile can hold; a row that would add more is not stitched.
    """

    max_bytes: int = 10_000_000
    bulk_max_bytes: int = 10_000_000
    prefix_kept: bool = True
    token_in_query: bool = False
    empty_is_missing: bool = False
    max_neighbours: int = 50
