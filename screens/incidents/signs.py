"""The signs of steps and of what their checks saw, alike on screen and in what commands print."""

from __future__ import annotations

from collections.abc import Mapping

from crypto_core.incidents.model import CheckState, StepState
from screens.signs import Sign

OPEN = Sign("▶", "$accent")
LATE = Sign("✖", "$error")
NEARLY_LATE = Sign("▲", "$warning")
WELL = Sign("●", "$success")

STEPS: Mapping[StepState, Sign] = {
    StepState.TODO: Sign("·", "$muted"),
    StepState.BEGUN: OPEN,
    StepState.DONE: Sign("✔", "$success"),
    StepState.SKIPPED: Sign("»", "$warning"),
    StepState.NOT_NEEDED: Sign("○", "$muted"),
}
CHECKS: Mapping[CheckState, Sign] = {
    CheckState.PASSED: WELL,
    CheckState.NOT_YET: NEARLY_LATE,
    CheckState.FAILED: LATE,
    CheckState.UNKNOWN: Sign("?", "$warning"),
}
