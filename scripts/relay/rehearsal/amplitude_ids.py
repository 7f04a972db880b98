"""Which Amplitude id an event is given: Amplitude's published rules, in order of arrival.

Source: Amplitude, "Track unique users", whose tables (devices G, R, Y and Z with John, Jane, Mary
and David) these few lines reproduce; a test holds them to it.
"""

from dataclasses import dataclass, field

from relay.rehearsal.noise import between

FIRST_AMPLITUDE_ID = 1_610_447_902_357


@dataclass(frozen=True, slots=True)
class Merge:
    """An anonymous Amplitude id that turned out to be a known user's.

    Attributes:
        amplitude_id: The id that was absorbed; rows already exported keep it.
        merged_amplitude_id: The id that survives; it always has a user id.
        event_ms: Time of the event that caused it, epoch milliseconds.
        server_ms: Its arrival, epoch milliseconds.
    """

    amplitude_id: int
    merged_amplitude_id: int
    event_ms: int
    server_ms: int


@dataclass(slots=True)
class AmplitudeIds:
    """What one Amplitude organisation knows about devices and users so far.

    Attributes:
        of_user: User id -> its Amplitude id. There is never more than one.
        of_device: Device id -> the Amplitude id its next anonymous event gets.
        first_of_device: Device id -> the Amplitude id of its first event.
        user_of: Amplitude id -> the user id it belongs to; anonymous ids are missing.
        merges: In order of arrival.
    """

    seed: int
    of_user: dict[str, int] = field(default_factory=dict)
    of_device: dict[str, int] = field(default_factory=dict)
    first_of_device: dict[str, int] = field(default_factory=dict)
    user_of: dict[int, str] = field(default_factory=dict)
    merges: list[Merge] = field(default_factory=list)
    _newest: int = FIRST_AMPLITUDE_ID
    _absorbed: set[int] = field(default_factory=set)

    def assign(self, device_id: str, user_id: str | None, event_ms: int, server_ms: int) -> int:
        """Give an arriving event its Amplitude id, and record the merge it causes, if any."""
        on_device = self.of_device.get(device_id)
        if user_id is None:
            amplitude_id = on_device or self._new_id()
        elif user_id in self.of_user:
            amplitude_id = self.of_user[user_id]
            if on_device and on_device != amplitude_id and on_device not in self.user_of:
                self._merge(on_device, amplitude_id, event_ms, server_ms)
        elif on_device and on_device not in self.user_of:
            amplitude_id = on_device
        else:
            amplitude_id = self._new_id()
        if user_id is not None:
            self.of_user[user_id] = amplitude_id
            self.user_of[amplitude_id] = user_id
        self.of_device[device_id] = amplitude_id
        self.first_of_device.setdefault(device_id, amplitude_id)
        return amplitude_id

    def _new_id(self) -> int:
        self._newest += between(1, 97, self.seed, self._newest)
        return self._newest

    def _merge(self, absorbed: int, survivor: int, event_ms: int, server_ms: int) -> None:
        if absorbed not in self._absorbed:
            self._absorbed.add(absorbed)
            self.merges.append(Merge(absorbed, survivor, event_ms, server_ms))
