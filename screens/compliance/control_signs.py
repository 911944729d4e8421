"""What a control came to, on screen and in print: one sign and one colour for each state."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from crypto_core.compliance.answer import ControlStatus
from screens.signs import Sign


class ControlState(StrEnum):
    """A control's status as it is shown, the worst first: what is excepted or never asked is set apart."""

    NOT_MET = "not met"
    EXCEPTED = "excepted"
    NOT_ASSESSED = "not assessed"
    PARTLY = "partly met"
    MET = "met"
    OUTSIDE = "not Keydeck's to say"
    """Not assessed on any day: nothing that Keydeck measures answers it."""
    GAP = "no record"
    COMING = "not recorded yet"
    """A day that isn't over."""

    @property
    def rank(self) -> int:
        return _RANKS[self]

    @property
    def known(self) -> bool:
        return self not in (ControlState.GAP, ControlState.COMING)


_RANKS: Mapping[ControlState, int] = {state: rank for rank, state in enumerate(ControlState)}

CONTROL_SIGNS: Mapping[ControlState, Sign] = {
    ControlState.NOT_MET: Sign("✖", "$error"),
    ControlState.EXCEPTED: Sign("◌", "$warning"),
    ControlState.NOT_ASSESSED: Sign("?", "$warning"),
    ControlState.PARTLY: Sign("▲", "$warning"),
    ControlState.MET: Sign("●", "$success"),
    ControlState.OUTSIDE: Sign("-", "$muted"),
    ControlState.GAP: Sign("·", "$warning"),
    ControlState.COMING: Sign(" ", "$muted"),
}

_OF_STATUS: Mapping[ControlStatus, ControlState] = {
    ControlStatus.NOT_MET: ControlState.NOT_MET,
    ControlStatus.NOT_ASSESSED: ControlState.NOT_ASSESSED,
    ControlStatus.PARTLY: ControlState.PARTLY,
    ControlStatus.MET: ControlState.MET,
}


def control_state(status: ControlStatus, *, excepted: bool = False, asked: bool = True) -> ControlState:
    """Return how a status is shown. `excepted`: somebody granted that; not `asked`: no test answers it."""
    if status is ControlStatus.NOT_MET and excepted:
        return ControlState.EXCEPTED
    if status is ControlStatus.NOT_ASSESSED and not asked:
        return ControlState.OUTSIDE
    return _OF_STATUS[status]
