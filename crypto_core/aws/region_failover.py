"""Which Regions a question about a key may go to, and which of them are down just now.

A multi-Region key's replicas share key id and key material, so any of them opens what another wrapped (AWS
KMS Developer Guide, "Multi-Region keys"). Where one Region's endpoint doesn't answer, reads go to the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.values.errors import KmsUnreachableError, SettingsError
from crypto_core.values.key_names import in_region, is_multi_region, region_of

DOWN_SECONDS = 30.0
"""How long a Region that did not answer is asked last: its time limit is paid once, not for every token."""


class Routes:
    def __init__(self, kms: KmsApi, clock: Callable[[], float] = monotonic) -> None:
        self._kms = kms
        self._clock = clock
        self._lock = threading.Lock()
        self._down_until: dict[str, float] = {}

    def to(self, name: str, pinned: str | None = None) -> list[tuple[str | None, str]]:
        """Return (Region, KeyId) pairs to ask in turn about the key called `name`, its own Region first.

        `pinned` is the ARN that the name is known to mean. Other Regions follow only for a multi-Region key.
        """
        own = (region_of(name), name)
        known = pinned or name
        # A multi-Region key's bare id is the same everywhere.
        if not (is_multi_region(known) or known.startswith("mrk-")):
            return [own]
        home = region_of(name) or self._default()
        others = [region for region in self._configured() if region != home]
        replicas = [(r, known if known.startswith("mrk-") else in_region(known, r)) for r in others]
        # Stable: within "up" and within "down" the order stays.
        return sorted([own, *replicas], key=lambda route: self._is_down(route[0] or home))

    def regions(self, first: str | None = None) -> list[str]:
        """Return the configured Regions, those that are down last; `first` leads if it is one of them.

        Raises SettingsError where none is configured.
        """
        regions = sorted(self._kms.regions, key=lambda region: region != first)
        return sorted(regions, key=self._is_down)

    def home(self, name: str) -> str:
        """Return the Region that the key called `name` is in, "" where none is configured."""
        return region_of(name) or self._default()

    def is_down(self, name: str) -> bool:
        """True while the Region that the key called `name` is in did not answer just now."""
        return self._is_down(self.home(name))

    def call(self, operation: str, region: str | None, **parameters: Any) -> dict[str, Any]:
        """Return KMS's answer, and remember whether the Region answered. Raises KmsError."""
        where = region or self._default()
        try:
            answer = self._kms.call(operation, region=region, **parameters)
        except KmsUnreachableError:
            self.silent(where)
            raise
        with self._lock:
            self._down_until.pop(where, None)
        return answer

    def silent(self, region: str) -> None:
        with self._lock:
            self._down_until[region] = self._clock() + DOWN_SECONDS

    def _is_down(self, region: str | None) -> bool:
        return self._down_until.get(region or self._default(), 0.0) > self._clock()

    def _default(self) -> str:
        configured = self._configured()
        return configured[0] if configured else ""

    def _configured(self) -> tuple[str, ...]:
        try:
            return self._kms.regions
        except SettingsError:
            # A key ARN names its Region; nothing else is needed to ask it.
            return ()
