"""MoEngage Streams as a sender: batches to a receiver, sent again, and dropped in the end."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

BATCH_EVENTS = 100
RETRY_SECONDS = (30.0, 60.0, 120.0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one batch.

    Attributes:
        request_id: Its `moe_request_id`, the same in every attempt.
        statuses: The HTTP status of each attempt; None where no answer came.
        delivered: Whether the last one was 2xx; otherwise the batch is lost.
    """

    request_id: str
    events: int
    statuses: tuple[int | None, ...]
    delivered: bool


def send_streams(
    address: str,
    events: Sequence[Mapping[str, Any]],
    *,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    app_name: str = "Emulated App",
    batch_events: int = BATCH_EVENTS,
    factor: float = 1.0,
    timeout_seconds: float = 10.0,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Delivery]:
    """Send events to a Streams receiver the way MoEngage does, batch after batch.

    A batch that is not answered with 2xx is sent again whole after 30, 60 and 120 seconds, then
    dropped; jitter and the time-out of an attempt are not documented.

    Args:
        address: The receiver's one address.
        events: The event objects, in order.
        headers: A fixed header for authentication.
        auth: HTTP Basic instead.
        app_name: Goes into each body.
        batch_events: Events in a body; the default of the service is 100.
        factor: Scales the waits; 0 for tests.
        timeout_seconds: Of each attempt.
        sleep: Waits.
    """
    deliveries = []
    with httpx.Client(auth=auth, timeout=timeout_seconds, trust_env=False) as client:
        for start in range(0, len(events), batch_events):
            batch = list(events[start : start + batch_events])
            body = {
                "app_name": app_name,
                "source": "MOENGAGE",
                "moe_request_id": str(uuid.uuid4()),
                "events": batch,
            }
            statuses: list[int | None] = []
            for wait in (0.0, *RETRY_SECONDS):
                sleep(wait * factor)
                statuses.append(_attempt(client, address, body, headers))
                if _is_success(statuses[-1]):
                    break
            deliveries.append(
                Delivery(
                    str(body["moe_request_id"]),
                    len(batch),
                    tuple(statuses),
                    _is_success(statuses[-1]),
                )
            )
    return deliveries


def _attempt(
    client: httpx.Client, address: str, body: Any, headers: Mapping[str, str] | None
) -> int | None:
    try:
        return client.post(address, json=body, headers=headers).status_code
    except httpx.HTTPError:
        return None


def _is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300
