"""The endpoint's clock: the machine's, or one that was moved to another time and goes on from there."""

import time


class EndpointClock:
    def __init__(self) -> None:
        self._ahead = 0.0

    @property
    def moved(self) -> bool:
        return self._ahead != 0

    def now(self) -> float:
        return time.time() + self._ahead

    def move(self, to: float | None) -> None:
        """Let it be another time (epoch seconds) from now on; None is the machine's again."""
        self._ahead = 0.0 if to is None else to - time.time()
