"""What commands and screens call: the controls that there are, and what they come to now."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event

from crypto_core.compliance.assessment import Assessment, assess, parts_of
from crypto_core.compliance.library import ControlLibrary, Controls
from crypto_core.compliance.snapshot_reader import SnapshotReader


@dataclass(eq=False)
class ComplianceService:
    """Judges controls by what is measured now. Blocks on SQL and AWS: call it from a worker."""

    library: ControlLibrary
    reader: SnapshotReader

    def controls(self) -> Controls:
        return self.library.read()

    def assess_now(self, framework: str = "", *, cancelled: Event | None = None) -> Assessment:
        """Return what controls come to now, of all frameworks or of one; only what they need is measured.

        Raises SettingsError for a framework that no catalogue has, InterruptedRunError.
        """
        controls = self.library.read()
        controls.require(framework)
        chosen = (one for one in controls.controls if framework in ("", one.framework.id))
        snapshot = self.reader.take(parts_of(chosen), cancelled)
        return assess(controls, snapshot, framework)
