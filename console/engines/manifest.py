"""What query engines add: Athena, to fetch events from and to count them."""

from __future__ import annotations

from console.capabilities import Manifest

MANIFEST = Manifest("engines", event_engines={"athena": "console.engines.athena"})
