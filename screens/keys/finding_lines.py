"""What is wrong with one key, as far as its posture has been examined."""

from __future__ import annotations

from crypto_core.keys.posture.examination import Posture
from crypto_core.keys.state import KeyState
from screens.routes import FindingsRoute
from screens.signs import SIGNS
from screens.use.lines import BLANK, NAME_CELLS, fact
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line, line


def finding_lines(key: KeyState, posture: Posture | None, width: int) -> list[Line]:
    """Return a line for each finding about the key, and the way to them; or how to have them looked for."""
    route = FindingsRoute(f"subject:{key.key_arn.rpartition('/')[2]}")
    if posture is None:
        hint = "Enter: examine keys, access and trails."
        return [BLANK, fact("findings", "not examined yet", width, style="$muted", target=route, hint=hint)]
    about = [finding for finding in posture.findings if finding.subject == key.key_arn]
    if not about:
        return [BLANK, fact("findings", "none", width)]
    return [
        BLANK,
        *(
            line(
                (fit("" if number else "findings", NAME_CELLS), "$muted"),
                SIGNS[finding.severity],
                " ",
                cut(f"{finding.severity.value}  {finding.title}", width - NAME_CELLS - 2),
                target=route,
                hint=f"Enter: the findings. {finding.remedy}",
            )
            for number, finding in enumerate(about)
        ),
    ]
