"""The scripted intruder at the sandbox's providers: its uses are found, all of them, and no others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from console.container import Container
from console.forensics.services import ForensicsServices
from console.sandbox.audit_logs import ATLASSIAN_ORG, AUDIT_TOKEN
from console.sandbox.provider_traffic import (
    INTRUDER_CLIENT,
    INTRUDER_EGRESS,
    INTRUDERS_USES,
    NEW_EGRESS,
    ProviderAction,
    provider_uses,
)
from console.sandbox.sandbox import Sandbox
from console.sandbox.traffic import INTRUDER_ADDRESS, intrusion_begins
from console.settings import load
from crypto_core.findings.finding import Finding, Gap
from crypto_core.forensics.provider_logs.puller import LogPuller
from crypto_core.forensics.provider_logs.rules.uses import ProviderRules
from crypto_core.forensics.provider_logs.store import EventChoice, ProviderLog
from crypto_core.forensics.provider_logs.suspicion import UseJudge
from crypto_core.forensics.provider_logs.token_use import BY_HASH, UNNAMED_OPENING, TokenUses
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.files.record_shapes import records_of
from crypto_core.trail.store import EventStore
from crypto_core.trail.use.token_timeline import BY_TIME, Doing, TokenUse, UseCertainty
from crypto_core.values.references import TokenRef, parse_reference
from crypto_core.values.secret import Secret
from tests.conftest import use_settings

_CONNECTIONS = 160


@dataclass(frozen=True)
class Scene:
    """Both stores full, and the truth."""

    sandbox: Sandbox
    services: Container
    log: ProviderLog
    events: EventStore
    uses: tuple[ProviderAction, ...]
    timelines: dict[str, TokenUse]

    def by(self, who: str) -> set[tuple[int, str, str, str]]:
        """What somebody did, by time, provider, address and place."""
        return {_key(use.time, use.provider, use.address, use.place) for use in self.uses if use.by == who}

    def token(self, table: str) -> str:
        """A token of a table that the intruder used."""
        return next(use.ref for use in self.uses if use.by == "intruder" and use.ref.startswith(table))


def _key(time: float, provider: str, address: str, place: str) -> tuple[int, str, str, str]:
    return int(time), provider, address, place


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A sandbox whose logs are pulled and whose tokens that anybody used are opened for their hashes."""
    folder = tmp_path_factory.mktemp("thefts")
    with Sandbox.start(connections=_CONNECTIONS) as sandbox:
        told = sandbox.settings() | {"KEYDECK_EVENTS_FILE": str(folder / "events.sqlite")}
        with pytest.MonkeyPatch.context() as patch:
            use_settings(told, patch)
            services = Container(load().settings)
            sandbox.control.set_lookup_throttle(None)
            pages = sandbox.client("cloudtrail").get_paginator("lookup_events").paginate()
            records = [
                found
                for page in pages
                for record in records_of(json.loads(json.dumps(page, default=str)))
                if (found := read_record(record)) is not None
            ]
            services.trail.events.add(records)
            log = ProviderLog(services.trail.events.file)
            puller = LogPuller(log, services.settings.endpoints)
            for provider, name in (("github", "all"), ("slack", ""), ("atlassian", ATLASSIAN_ORG)):
                since = sandbox.world.now - timedelta(days=8)
                pulled = puller.pull(provider, name, Secret.of(AUDIT_TOKEN), since=since)
                assert pulled.finished, pulled.reason
            uses = provider_uses(sandbox.world)
            stolen = [use.ref for use in uses if use.by == "intruder"]
            others = [use.ref for use in uses if use.by == "platform"]
            refs = {ref: parse_reference(ref) for ref in (*stolen, *sorted(others)[:: len(others) // 12])}
            github = tuple(r for r in refs.values() if isinstance(r, TokenRef) and r.table == "gh_connection")
            services.of(ForensicsServices).token_hashing.note(github, "the test")
            joined = TokenUses(log, services.trail.events)
            judge = joined.judge()
            timelines = {}
            for text, ref in refs.items():
                assert isinstance(ref, TokenRef)
                timelines[text] = joined.use_of(services.trail.use.token_timeline(ref), judge)
            yield Scene(sandbox, services, log, services.trail.events, uses, timelines)
            services.close()


def test_every_use_by_the_intruder_is_found_and_no_other_use_is_called_one(scene: Scene) -> None:
    judge = UseJudge(scene.log, scene.events)
    told = {
        _key(one.at.timestamp(), one.provider, one.address, one.place)
        for one in scene.log.events(EventChoice())
        if judge.verdict(one)
    }
    truth = scene.by("intruder")
    assert len(truth) >= sum(INTRUDERS_USES.values())
    assert {provider for _, provider, _, _ in truth} == {"github", "slack", "atlassian"}
    assert told == truth
    assert any(address == NEW_EGRESS for _, _, address, _ in scene.by("platform"))
    site = next(use.place for use in scene.uses if use.provider == "atlassian")
    assert judge.places("atlassian", [site.upper(), "nowhere"]) == (site,)
    assert judge.places("slack", [site]) == ()


@pytest.mark.deep
def test_the_tokens_timelines_say_the_same_token_by_token(scene: Scene) -> None:
    told = {
        (ref, _key(deed.at.timestamp(), deed.provider, deed.address, deed.place))
        for ref, use in scene.timelines.items()
        for deed in use.thefts
    }
    of_github = {
        (use.ref, _key(use.time, use.provider, use.address, use.place))
        for use in scene.uses
        if use.by == "intruder" and use.provider == "github"
    }
    assert {one for one in told if one[1][1] == "github"} == of_github
    # Slack and Atlassian name the place alone: what is told of a token there was done by the intruder.
    assert {key for _, key in told} == scene.by("intruder")
    for ref, use in scene.timelines.items():
        wanted = {int(one.time) for one in scene.uses if one.ref == ref and one.by != "owner"}
        found = {int(deed.at.timestamp()) for deed in use.deeds if deed.doing is Doing.USED}
        assert wanted <= found, ref
        if use.provider == "github":
            assert wanted == found, ref
            assert use.may_have_used == 0


def test_opening_and_use_stand_in_one_list_and_say_how_sure_they_are(scene: Scene) -> None:
    use = scene.timelines[scene.token("gh_connection")]
    assert [deed.at for deed in use.deeds] == sorted(deed.at for deed in use.deeds)
    # Others may have opened it before: the analyst decrypts, too, at some times of the day.
    openings = [deed for deed in use.deeds if deed.doing is Doing.OPENED]
    opened = next(deed for deed in openings if deed.address == INTRUDER_ADDRESS)
    used = next(deed for deed in use.deeds if deed.theft)
    assert opened.at < used.at
    assert {(one.certainty, one.reason) for one in openings} == {(UseCertainty.POSSIBILITY, UNNAMED_OPENING)}
    assert opened.words.startswith(f"may have been opened by user/intruder from {INTRUDER_ADDRESS}")
    assert (used.address, used.agent, used.certainty, used.reason) == (
        INTRUDER_EGRESS,
        INTRUDER_CLIENT,
        UseCertainty.FACT,
        BY_HASH,
    )
    assert f"from {INTRUDER_ADDRESS} (who was new) opened tokens" in used.theft
    assert use.statements[-1] == BY_TIME
    assert use.statements[-2].startswith(f"{len(use.thefts)} use")
    assert f"from {INTRUDER_EGRESS} by {INTRUDER_CLIENT}" in use.statements[-2]
    document = use.as_json()
    assert document["look_like_theft"] == len(use.thefts)
    possible = scene.timelines[scene.token("confluence_connection")]
    assert possible.used == 0
    assert {deed.certainty for deed in possible.thefts} == {UseCertainty.POSSIBILITY}
    assert "may have been used" in possible.thefts[0].words


@pytest.mark.deep
def test_the_rules_find_the_intruder_alone(scene: Scene) -> None:
    begin, end = intrusion_begins(scene.sandbox.world.now), scene.sandbox.world.now
    rules = ProviderRules(scene.events)
    said = list(rules(begin - timedelta(minutes=5), end, None))
    old = "event-provider-old-token"
    findings = [one for one in said if isinstance(one, Finding) and one.rule != old]
    by_rule = {one.rule: one for one in findings}
    assert set(by_rule) == {"event-provider-after-opening", "event-provider-stranger"}
    for one in findings:
        assert INTRUDER_EGRESS in one.title
        assert "inferred" in one.evidence
        assert all(address not in one.evidence for address in (NEW_EGRESS, "203.0.113."))
    assert INTRUDER_ADDRESS in by_rule["event-provider-after-opening"].title
    assert len([one for one in findings if one.rule == "event-provider-stranger"]) == 3
    assert not [one for one in said if isinstance(one, Gap)]
    later = list(rules(begin + timedelta(hours=6), end, None))
    assert [one for one in later if isinstance(one, Gap) or one.rule != old] == []
    (gap,) = [one for one in rules(end - timedelta(days=9), end, None) if isinstance(one, Gap)]
    assert "usual isn't known" in gap.reason
    examined = scene.services.trail.rules.examine_events(begin - timedelta(minutes=5), end)
    assert {one.rule for one in findings} <= {one.rule for one in examined.findings}


@pytest.mark.deep
def test_an_old_token_that_is_used_after_it_was_replaced_is_a_fact(scene: Scene) -> None:
    book = scene.services.of(ForensicsServices).token_hashing.book
    ref = parse_reference(scene.token("gh_connection"))
    assert isinstance(ref, TokenRef)
    used = scene.timelines[str(ref)].thefts
    digest = book.known([ref])[0].token_hash
    replaced = used[0].at + timedelta(milliseconds=1)
    book.note({ref: digest}, "an incident", used[0].at - timedelta(days=30))
    book.note({ref: b"\1" * 32}, "an incident", replaced)
    timeline = scene.services.trail.use.token_timeline(ref)
    use = TokenUses(scene.log, scene.events).use_of(timeline)
    old = [deed for deed in use.deeds if deed.old]
    wanted = [
        deed.at for deed in scene.timelines[str(ref)].deeds if deed.doing is Doing.USED and deed.at > replaced
    ]
    assert [deed.at for deed in old] == wanted
    rules = ProviderRules(scene.events)
    begin, end = used[0].at - timedelta(hours=1), scene.sandbox.world.now
    found = [
        one
        for one in rules(begin, end, None)
        if isinstance(one, Finding) and one.rule == "event-provider-old-token"
    ]
    assert bool(found) is bool(old)
    for one in found:
        assert one.severity.value == "critical"
        assert one.subject == str(ref)
        assert "a fact" in one.evidence
    if old:
        assert "a fact" in use.statements[0]
        assert "Ask its provider" in use.statements[0]
    # What is noted late of an earlier moment changes nothing.
    book.note({ref: digest}, "late", used[0].at - timedelta(days=40))
    assert [one.replaced_at is None for one in book.known([ref])] == [False, True]


def test_what_is_not_covered_is_named(scene: Scene) -> None:
    for ref, use in scene.timelines.items():
        reasons = " ".join(use.coverage.reasons)
        assert "are missing" in reasons or use.coverage.complete, ref
    unknown = next(
        ref
        for ref, token in scene.sandbox.world.tokens.items()
        if ref.table == "gh_connection" and token.corruption is None and str(ref) not in scene.timelines
    )
    joined = TokenUses(scene.log, scene.events)
    use = joined.use_of(scene.services.trail.use.token_timeline(unknown))
    assert any(f"keydeck events provider hash {unknown}" in reason for reason in use.coverage.reasons)
    assert use.used == 0
