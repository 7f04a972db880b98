"""The emulators' own paths beside the vendor's: `/_state`, `/_faults` and `/_clock`.

`GET /_state` (`?only=segments,requests`) shows what a vendor holds. `GET`, `PUT` (replace), `POST`
(add) and `DELETE /_faults` read and order faults, one JSON object or a list of them. `GET /_clock`
tells the emulators' time; `PUT {"now": "2026-03-02T12:00:00Z", "frozen": true}` sets it and `POST
{"advance_seconds": 3600}` moves it.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relay.emulate.faults import Fault

if TYPE_CHECKING:
    from relay.emulate.vendor import Vendor


def control_routes(vendor: "Vendor") -> list[Route]:
    """The three paths, over one vendor."""

    async def state(request: Request) -> Response:
        body = await run_in_threadpool(_state, vendor, request.query_params.get("only"))
        return Response(body, media_type="application/json")

    async def faults(request: Request) -> Response:
        try:
            if request.method == "DELETE":
                vendor.faults.clear()
            elif request.method != "GET":
                document = await request.json()
                ordered = document if isinstance(document, list) else [document]
                read = [Fault.from_document(one) for one in ordered]
                if request.method == "PUT":
                    vendor.faults.clear()
                for fault in read:
                    vendor.faults.order(fault)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(vendor.faults.document())

    async def clock(request: Request) -> Response:
        try:
            if request.method == "PUT":
                _set_clock(vendor, await request.json())
            elif request.method == "POST":
                vendor.clock.advance(float((await request.json())["advance_seconds"]))
        except (KeyError, ValueError, TypeError) as error:
            expected = 'PUT {"now": ISO 8601 with zone, "frozen": bool} or POST {"advance_seconds"}'
            return JSONResponse({"error": f"{error}; expected {expected}"}, 400)
        moment = {"now": vendor.clock.now().isoformat(), "frozen": vendor.clock.frozen}
        return JSONResponse(moment)

    paths: dict[str, tuple[Callable[..., Any], list[str]]] = {
        "/_state": (state, ["GET"]),
        "/_faults": (faults, ["GET", "PUT", "POST", "DELETE"]),
        "/_clock": (clock, ["GET", "PUT", "POST"]),
    }
    return [Route(path, endpoint, methods=methods) for path, (endpoint, methods) in paths.items()]


def _state(vendor: "Vendor", only: str | None) -> bytes:
    document = vendor.state()
    if only is not None:
        wanted = only.split(",")
        document = {name: value for name, value in document.items() if name in wanted}
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _set_clock(vendor: "Vendor", document: dict[str, Any]) -> None:
    if "now" in document:
        vendor.clock.set(datetime.fromisoformat(document["now"]))
    if "frozen" in document:
        if document["frozen"]:
            vendor.clock.freeze()
        else:
            vendor.clock.run()
