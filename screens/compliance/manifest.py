"""The actions of the screen of compliance."""

from __future__ import annotations

from screens.actions.action import Action

ACTIONS = {
    "everywhere.findings": (
        Action(
            "everywhere.compliance",
            "compliance",
            "Compliance: which controls were met, on which days, and what proves it?",
            "8",
            calls="compliance.assess_now",
            shown=True,
        ),
    ),
    "findings.incident": (
        Action("compliance.left", "day before", "One column to the left", "left,h"),
        Action("compliance.right", "next day", "One column to the right", "right,l"),
        Action(
            "compliance.earlier",
            "earlier",
            "As many columns earlier as are in sight",
            "left_square_bracket",
            display="[",
        ),
        Action(
            "compliance.later",
            "later",
            "As many columns later as are in sight",
            "right_square_bracket",
            display="]",
        ),
        Action(
            "compliance.last-wrong",
            "day before that isn't met",
            "To the day before on which the control was less than met",
            "N",
        ),
        Action(
            "compliance.next-wrong",
            "next day that isn't met",
            "To the next day on which the control was less than met",
            "n",
        ),
        Action(
            "compliance.zoom-in",
            "zoom in",
            "A column is a week instead of a month, a day instead of a week",
            "z",
        ),
        Action(
            "compliance.zoom-out",
            "zoom out",
            "A column is a week instead of a day, a month instead of a week",
            "Z",
            shown=True,
        ),
        Action(
            "compliance.framework",
            "framework",
            "Only the next framework's controls, or the named one's; behind the last one all",
            "f",
            argument="NAME|all",
            shown=True,
        ),
        Action(
            "compliance.worst",
            "less than met",
            "Only controls that were less than met on a day, or all",
            "w",
            shown=True,
        ),
        Action(
            "compliance.period",
            "period",
            "The last 30 days, 90 days or year; or from one date to another, such as 2026-01-01 2026-06-30",
            "d",
            calls="periods.of",
            argument="30d|90d|1y|FROM TO",
            shown=True,
        ),
        Action(
            "compliance.points",
            "open points",
            "What is open for the next audit, each with the command or the screen that settles it",
            "o",
            shown=True,
        ),
        Action("compliance.copy", "copy", "Copy the control, the day, and what it came to", "y"),
    ),
}
"""By the action after which they stand."""
