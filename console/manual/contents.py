"""The manual's pages, in their order. Each is a file of Markdown in the package; capabilities add theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from console.capabilities import manifests, placed


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the contents: its topic, what it is about, and its file where that is not pages/TOPIC.md."""

    topic: str
    summary: str
    file: str = ""


def _chapter(*entries: tuple[str, str] | tuple[str, str, str]) -> tuple[Entry, ...]:
    return tuple(Entry(*entry) for entry in entries)


_OWN: dict[str, tuple[Entry, ...]] = {
    "Begin": _chapter(
        ("concepts", "Envelope, data key, key material; inferred and verified; rewrap and re-encrypt."),
        ("connect", "Your own database and AWS, read-only first."),
        ("console", "The console's screens and keys."),
    ),
    "The worst day": _chapter(
        ("key-compromise", "One page to print: a KMS key is compromised."),
        ("token-leak", "One page to print: tokens have leaked."),
        ("incidents", "Incidents: declare, work through, prove, report."),
        ("runbooks", "Every built-in runbook, step by step."),
        ("providers", "What GitHub, Slack and Atlassian are asked, and how tokens are revoked."),
        ("own-runbooks", "How to write runbooks of your own."),
    ),
    "Every day": _chapter(
        ("daily", "What to run by cron."),
        ("findings", "What is wrong with keys, access, trails and events."),
        ("checks", "The checks of AWS Config, Security Hub, Prowler and CIS, and what Keydeck has for each."),
        ("coverage", "Whether the count has every token; copies and downgrades."),
        ("guard", "Have PostgreSQL refuse what is no envelope."),
        ("keys", "KMS keys: policies, changes, rotation."),
        ("jobs", "Rewriting many tokens."),
        ("estates", "Several databases, accounts and environments at once."),
        ("trouble", "When something doesn't work."),
    ),
    "Who opened what": _chapter(
        ("events", "CloudTrail's events: where they come from, and what they tell."),
        ("receipts", "Which token a call opened, also of v1: what processes write down of their calls."),
        ("filters", "The filter language: terms, fields, words."),
        ("questions", "Sixty questions about events, each with the line that answers it."),
        ("event-files", "The shapes that files of events come in."),
        ("engines", "Very many events: Parquet, DuckDB, Athena."),
    ),
    "Under control": _chapter(
        ("journal", "The journal, its checkpoints and anchors."),
        ("approvals", "Four eyes: changes that a second person must approve."),
        ("cryptography", "Which algorithms protect what, quantum computers, FIPS mode."),
        ("privileges", "What each role needs in SQL and IAM."),
    ),
    "Look up": _chapter(
        ("commands", "Every command with its options."),
        ("actions", "Every key and command of the console."),
        ("settings", "Every setting."),
        ("tables", "How tables with tokens are described."),
        (
            "extensions",
            "Rules, providers, report sections, commands: a package of yours beside Keydeck.",
        ),
        (
            "own-commands",
            "Programs of your own behind keys, and columns of your own, on the console's lists.",
        ),
        ("database", "The database's URL, poolers, standbys, limits."),
        ("schema", "What programs get, as JSON Schemas; keydeck help schema NAME prints one."),
    ),
    "Inside": _chapter(
        ("platform", "The library that the platform seals and opens tokens with."),
        ("format", "The stored formats."),
        ("format-specification", "The stored formats, byte by byte.", "crypto_core/FORMAT.md"),
        ("security", "What is protected, against whom, and which test shows it.", "crypto_core/SECURITY.md"),
        ("promises", "What is promised, and tested."),
        ("house", "How the code is built, and where a change begins."),
        ("development", "Tests, lint, benchmarks, releases."),
    ),
}


_TOPICS = {entry.topic for entries in _OWN.values() for entry in entries}


def _added(chapter: str) -> Iterator[tuple[str, Entry, str]]:
    for manifest in manifests():
        for topic, page in manifest.pages.items():
            if page.chapter == chapter and topic not in _TOPICS:
                file = f"{manifest.home.replace('.', '/')}/{topic}.md"
                yield topic, Entry(topic, page.summary, file), page.after


CONTENTS = {
    chapter: tuple(placed({one.topic: one for one in entries}, _added(chapter)).values())
    for chapter, entries in _OWN.items()
}
ENTRIES: dict[str, Entry] = {entry.topic: entry for entries in CONTENTS.values() for entry in entries}


def contents_text() -> str:
    indent = max(map(len, ENTRIES)) + 2
    lines: list[str] = []
    for chapter, entries in CONTENTS.items():
        lines += ["", f"{chapter}:"]
        lines += [f"  {entry.topic:<{indent}}{entry.summary}" for entry in entries]
    return "\n".join(lines[1:])
