"""Which sections a report has, in the order in which a reader needs them: what is wrong comes first.

Redacted by construction: everything comes from models that hold no secret, evidence gives only what an
allow-list names (exhibits.py), and the whole passes masking.py, for what people write into notes.
"""

from __future__ import annotations

from crypto_core.incidents.report.own_sections import OwnSections, are_used
from crypto_core.incidents.report.section import Report, ReportSection, Sources
from crypto_core.incidents.report.sections.actions import ActionsSection
from crypto_core.incidents.report.sections.census import CensusSection
from crypto_core.incidents.report.sections.losses import LossesSection
from crypto_core.incidents.report.sections.open_points import OpenPointsSection
from crypto_core.incidents.report.sections.overview import (
    ScopeSection,
    SummarySection,
    TimesSection,
    VouchingSection,
)
from crypto_core.incidents.report.sections.people import FollowUpsSection, PeopleSection
from crypto_core.incidents.report.sections.records import (
    EvidenceSection,
    StepsSection,
    TimelineSection,
)
from crypto_core.incidents.report.sections.suspects import SuspectsSection
from crypto_core.incidents.report.sections.tokens import TokensSection
from crypto_core.incidents.report.sections.uses import UsesSection
from crypto_core.reports.masking import masked

SECTIONS: tuple[type[ReportSection], ...] = (
    SummarySection,
    OpenPointsSection,
    ScopeSection,
    SuspectsSection,
    TimesSection,
    CensusSection,
    LossesSection,
    TokensSection,
    UsesSection,
    StepsSection,
    TimelineSection,
    ActionsSection,
    EvidenceSection,
    PeopleSection,
    FollowUpsSection,
    VouchingSection,
)


def build(sources: Sources) -> Report:
    """Return the report of an incident as it stands."""
    *others, last = SECTIONS
    kinds = (*others, *((OwnSections,) if are_used() else ()), last)
    return masked(Report(tuple(sources.section(kind) for kind in kinds)))
