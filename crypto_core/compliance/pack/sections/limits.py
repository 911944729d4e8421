"""What the record can't tell, what it was judged by, and how the pack is verified."""

from __future__ import annotations

from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.reports.cells import Cell, ShownSection, code, facts, table

VERIFY = (
    ("With Keydeck", "keydeck evidence verify DIR --public-key FILE"),
    ("Without", "python3 verifier.py DIR --public-key FILE, with the verifier that you got elsewhere"),
    (
        "The key",
        "Get it from the owner's AWS account, not from this folder: aws kms get-public-key --key-id KEY",
    ),
    (
        "Kept elsewhere",
        "A checkpoint that you kept shows whether the journal was made anew since: --anchors FILE",
    ),
)


def limits(period: AuditPeriod, context: PackContext) -> ShownSection:
    """Return what isn't known."""
    return ShownSection(
        "limits",
        "What the record can't tell",
        tables=(
            table(
                "Not known",
                "What, and why",
                ((one,) for one in (*period.unknown, *context.left_out)),
                "Nothing was left out of what Keydeck measures.",
            ),
        ),
    )


def judged_by(context: PackContext) -> ShownSection:
    """Return the catalogues that controls are from."""
    return ShownSection(
        "catalogues",
        "Judged by",
        lead="The texts that name controls, their questions and tests, each with its SHA-256.",
        tables=(
            table(
                "Catalogues",
                "Catalogue|Version|Controls|SHA-256",
                (
                    ((one.id, one.source), one.version, len(one.controls), code(one.digest))
                    for one in context.catalogues
                ),
                "Not named.",
            ),
        ),
    )


def verification() -> ShownSection:
    """Return how the pack is verified."""
    return ShownSection(
        "verify",
        "How to verify this",
        lead=(
            "manifest.json names every file with its SHA-256, and signature.json signs it. The records are a "
            "chain of their own, named by the journal; both are in the pack."
        ),
        facts=facts(*((name, Cell(text)) for name, text in VERIFY)),
    )
