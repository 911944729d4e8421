"""The local store of events: one file of the operator's own."""

from crypto_core.trail.seen_file import SeenFile
from crypto_core.trail.store.event_writer import Added
from crypto_core.trail.store.store import Arrivals, EventStore, StoredEvent, Summary

__all__ = ["Added", "Arrivals", "EventStore", "SeenFile", "StoredEvent", "Summary"]
