"""What the journal says of an incident's roles and follow-ups is found by its subject."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the index, of these entries alone."""
    op.execute(
        "CREATE INDEX ix_journal_incident_people ON keydeck.journal (subject, seq) WHERE action IN "
        "('incident role', 'incident follow-up', 'incident follow-up done')"
    )
