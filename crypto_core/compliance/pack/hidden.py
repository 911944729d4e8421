"""A period as it may leave the house: whatever looks like a token is hidden in what people wrote.

Facts name no token. A reason or a detail was typed by somebody, who may have pasted one.
"""

from __future__ import annotations

from dataclasses import replace

from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.reports.masking import masked


def hidden_tokens(period: AuditPeriod) -> AuditPeriod:
    """Return the period with nothing in its texts that looks like a token; its records stay as they are."""
    return replace(
        period,
        lapses=masked(period.lapses),
        explained=masked(period.explained),
        changes=masked(period.changes),
        sample=masked(period.sample),
        uses=masked(period.uses),
        unreviewed=masked(period.unreviewed),
        reviews=masked(period.reviews),
        incidents=masked(period.incidents),
        problems=masked(period.problems),
        unknown=masked(period.unknown),
        exemptions=masked(tuple(period.exemptions)),
        controls=tuple(replace(one, exemptions=masked(one.exemptions)) for one in period.controls),
    )
