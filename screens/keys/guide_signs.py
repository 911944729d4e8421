"""The signs of the steps of a manual rotation, alike on screen and in what commands print."""

from __future__ import annotations

from collections.abc import Mapping

from crypto_core.keys.replacement.guide import GuideStepState
from screens.signs import Sign

STEPS: Mapping[GuideStepState, Sign] = {
    GuideStepState.DONE: Sign("✔", "$success"),
    GuideStepState.NOW: Sign("▶", "$accent"),
    GuideStepState.WAITING: Sign("·", "$muted"),
    GuideStepState.UNKNOWN: Sign("?", "$warning"),
    GuideStepState.IMPOSSIBLE: Sign("✖", "$error"),
}
