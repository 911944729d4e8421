"""Is everything in place for Keydeck to work: checks that change nothing, each with what to do about it."""

from crypto_core.diagnosis.check import Area, Check, CheckOutcome, Topic, examine

__all__ = ["Area", "Check", "CheckOutcome", "Topic", "examine"]
