"""The built-in controls, statuses and tests, as the page about compliance has them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from crypto_core.compliance.control import FrameworkControl
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.library import ControlLibrary


def markdown() -> str:
    """Return the tests with what each measures, then a table of controls for each standard."""
    lines = ["## Tests", "", "| test | what it measures | by |", "|---|---|---|"]
    for test in ALL_TESTS.values():
        commands = ", ".join(dict.fromkeys(f"`keydeck {part.command}`" for part in test.parts))
        lines.append(f"| `{test.name}` | {test.measures} | {commands} |")
    controls = ControlLibrary().read().controls
    for framework, theirs in groupby(controls, key=lambda control: control.framework):
        lines += ["", f"## {framework.title} {framework.edition}", ""]
        lines += [f"`keydeck evidence status --framework {framework.id}`", "", *_table(theirs)]
    return "\n".join(lines)


def _table(controls: Iterator[FrameworkControl]) -> Iterator[str]:
    yield from ("| id | number | question | tests, or why there are none |", "|---|---|---|---|")
    for one in controls:
        tests = ", ".join(f"`{name}`" for name in one.tests) or one.outside
        yield f"| `{one.id}` | {one.number} | {one.question} | {tests} |"
