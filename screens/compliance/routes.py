"""Where lines of the screen of compliance lead."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from screens.compliance.control_status import ComplianceStanding


@dataclass(frozen=True, slots=True)
class ControlDayRoute:
    """The evidence behind one day of a control, by its id, as the screen that leads there has loaded it."""

    SCREEN: ClassVar = "compliance.pages.ControlDayScreen"
    control: str
    day: date
    standing: ComplianceStanding = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OpenPointsRoute:
    """What is open for the next audit, as the screen that leads there has loaded it."""

    SCREEN: ClassVar = "compliance.pages.OpenPointsScreen"
    standing: ComplianceStanding = field(compare=False, repr=False)
