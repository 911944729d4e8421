"""The endpoint's clock: the machine's, or one that was moved to another time and goes on from there."""

import time


class EndpointClock:
    """Tells the time to everything in the endpoint that AWS would tell it to."""

    def __init__(self) -> None:
        self._ahead = 0.0

    @property
    def moved(self) -> bool:
        """Whether it tells another time than the machine's."""
        return self._ahead != 0

    def now(self) -> float:
        return time.time() + self._ahead

    def move(self, to: float | None) -> None:
        """Let it be another time (epoch seconds) from now on; None is the machine's again."""
        self._ahead = 0.0 if to is None else to - time.time()
