"""Rate limits: how much of something any window of time may hold."""

from collections import deque


class Window:
    """At most `limit` units in any `seconds`, counted exactly.

    Args:
        limit: Units; None for no limit.
        seconds: Length of the window.
    """

    def __init__(self, limit: int | None, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._taken: deque[tuple[float, int]] = deque()
        self._sum = 0

    def take(self, now: float, units: int = 1) -> bool:
        """Take units if there is room for all of them; whether there was."""
        self._forget(now)
        if self.limit is not None and self._sum + units > self.limit:
            return False
        self._taken.append((now, units))
        self._sum += units
        return True

    def remaining(self, now: float) -> int:
        """Units that could be taken now; 0 or more."""
        self._forget(now)
        return 0 if self.limit is None else max(self.limit - self._sum, 0)

    def reset_after(self, now: float) -> float:
        """Seconds until the oldest units count no more; 0 when there are none."""
        self._forget(now)
        return self._taken[0][0] + self.seconds - now if self._taken else 0.0

    def _forget(self, now: float) -> None:
        while self._taken and now - self._taken[0][0] >= self.seconds:
            self._sum -= self._taken.popleft()[1]
