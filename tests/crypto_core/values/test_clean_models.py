"""Every model that shows foreign text is built from the worst of it, and is clean."""

from __future__ import annotations

import ast
import importlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

import crypto_core
from console.files.logfile import FileLogBook
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.receipts.receipt import LostReceipts, receipt_of
from crypto_core.database.state.anchors.bucket import AnchorBucket
from crypto_core.database.state.anchors.checkpoint_anchors import Anchoring, anchor_of
from crypto_core.database.state.approval_book import _approval
from crypto_core.database.state.incident_changes import IncidentRow, StepRow
from crypto_core.database.state.incident_records import EvidencePiece, Present
from crypto_core.database.state.incidents import EntryRow, IncidentWhole
from crypto_core.database.state.jobs import JobCounts, JobRow, RunnerRow
from crypto_core.database.state.journal_verification import check
from crypto_core.database.tokens.catalogue import Catalogue, Unreadable, Unsupported
from crypto_core.database.tokens.inspection import Inspector
from crypto_core.database.tokens.inventory import InventoryRow, _row
from crypto_core.database.tokens.placed_tables import placed_tables
from crypto_core.database.tokens.tables import TokenColumn, TokenTable
from crypto_core.guard.approval_proof import DeliveredCalls, RecordedCall, proof_of
from crypto_core.guard.signature import Signature
from crypto_core.incidents.runbooks.runbook_toml import read_runbook
from crypto_core.incidents.views import incident_view
from crypto_core.keys.grants import parse_grant
from crypto_core.keys.inventory import KeyInventory
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.posture.identities import read_identities
from crypto_core.keys.posture.trails import read_trails
from crypto_core.lists.paging import Query
from crypto_core.proof.forms import Anchor, Checkpoint
from crypto_core.proof.journal import JournalVerification
from crypto_core.reencryption.jobs.service import job_view
from crypto_core.trail.record_reader import read_record
from crypto_core.trail.sources.files.event_files import Intake
from crypto_core.trail.store import EventStore, receipt_questions
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.history import History, Span
from crypto_core.trail.store.receipt_questions import ReceiptHistory
from crypto_core.trail.store.suppressions import Suppressions
from crypto_core.trail.term_sql import Bounds
from crypto_core.trail.use.receipt_coverage import covers_of
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import AnchorError, KeydeckError
from crypto_core.values.references import TokenRef
from tests.crypto_core.trail import records
from tests.left_out import is_left_out

ROOT = Path(crypto_core.__file__).parent.parent
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
WORST = (
    "[/red]\x1b[31mred\x1b[0m\x1b]52;c;aGk=\x07 \u202eetalumis\u2066 two\nlines\r\ttab nul\x00 half \ud83d "
    "\u2028 zero\u200bwidth\x9b2J"
)
LONG = WORST + "w" * 10_000_000
TEXTS = pytest.mark.parametrize("text", [WORST, LONG], ids=["the worst", "10 MB of it"])
LONGEST = 20_000
"""Characters of any one text that is shown."""

Built = Iterator[object]


def sources(word: str, *floors: str) -> Iterator[tuple[Path, ast.Module]]:
    """The modules that have the word in them: to parse all of them takes seconds."""
    for floor in floors:
        for path in sorted((ROOT / floor).rglob("*.py")):
            if word in path.read_text():
                yield path, parsed(path)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def classes(word: str) -> Iterator[tuple[Path, ast.ClassDef]]:
    for path, tree in sources(word, "crypto_core", "screens", "console"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(
                "dataclass" in ast.unparse(d) for d in node.decorator_list
            ):
                yield path, node


def annotated(node: ast.ClassDef) -> tuple[str, ...]:
    """The fields of clean text."""
    of_class = (one for one in node.body if isinstance(one, ast.AnnAssign))
    return tuple(
        one.target.id
        for one in of_class
        if isinstance(one.target, ast.Name) and "CleanText" in ast.unparse(one.annotation)
    )


def cleaned_by_itself(path: Path, node: ast.ClassDef) -> tuple[str, ...]:
    """The fields that a model cleans as it is made: those that are named, or all but the raw ones."""
    for one in node.decorator_list:
        if isinstance(one, ast.Call) and ast.unparse(one.func) == "cleans":
            module = importlib.import_module(module_of(path))
            every = tuple(ast.unparse(f.target) for f in node.body if isinstance(f, ast.AnnAssign))
            named = {str(k.arg): ast.unparse(k.value) for k in one.keywords}
            raw = eval(named.pop("raw", "()"), vars(module))
            return tuple(name for name in every if name not in raw) if one.args else tuple(named)
    return ()


@cache
def models() -> dict[str, ast.ClassDef]:
    """All with fields of clean text: to parse their modules takes seconds."""
    return {n.name: n for _, n in classes("CleanText") if annotated(n) and n.name[0] != "_"}


OWN_WORK = {n.name: (path, n) for path, n in classes("@cleans(") if cleaned_by_itself(path, n)}


def is_clean(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST and clean(value, LONGEST) == value
    if isinstance(value, Mapping):
        return all(map(is_clean, [*value, *value.values()]))
    return not isinstance(value, tuple | list) or all(map(is_clean, value))


def trail(text: str, folder: Path) -> Built:
    who = records.role(text, text) | {"invokedBy": text, "accessKeyId": text}
    request = {"encryptionContext": {text: text, **records.context(text)}, "keyId": text}
    record = records.record(
        *("Decrypt",),
        who=who,
        sourceIPAddress=text,
        userAgent=text,
        errorCode=text,
        errorMessage=text,
        awsRegion=text,
        recipientAccountId=text,
        requestParameters=request,
    )
    event = read_record(record | {"eventName": text, "requestID": text, "eventID": text})
    assert event is not None
    yield event
    yield event.principal
    store = EventStore(folder / "events.sqlite", clock=lambda: NOW)
    store.add([event])
    store.annotate(event.event_id, text, text)
    yield from store.page(Query("*")).rows
    yield from store.pivot("agent").values
    yield from store.pivot("key").values
    yield from store.tally(("agent", "session", "principal")).rows
    history = History(store.file)
    yield from history.groups(("principal", "agent"), (), Span())
    yield from history.hourly((), Span()).values()
    suppressions = Suppressions(store.file, lambda: NOW)
    yield suppressions.add(text, text, text, 3, text)
    yield from suppressions.list()
    store.close()
    intake = Intake(None, 1, None, None, 1)  # type: ignore[arg-type]
    intake._fail(text.encode("utf-8", "surrogateescape" if text.isascii() else "replace"), text)
    yield from intake.failed


class NoRows(list[Any]):
    """What a statement finds where nothing is."""

    def all(self) -> list[Any]:
        return self


def catalogue(text: str, _: Path) -> Built:
    column, shown = TokenColumn("t", "c"), clean(text, 1_000)
    unreadable, unsupported = Unreadable(column, shown), Unsupported(column, clean(text, 100))
    found = Catalogue((), (unreadable,), {}, (unsupported,), (shown,), (shown,))
    assert is_clean(found.gaps)
    yield from (unreadable, unsupported, found)
    missing = TokenTable("t", "id", "text", ("c",), (), "x", schema=text)
    yield placed_tables(SimpleNamespace(execute=lambda *_: NoRows()), [missing])  # type: ignore[arg-type]


def inventory_row(text: str) -> InventoryRow:
    stored = SimpleNamespace(
        edk_prefix=None,
        provider="github",
        org=text,
        format="plaintext",
        leaked="github",
        characters=40,
        created_at=None,
        shown=json.dumps({text: text, "user_id": text}),
    )
    return _row(TokenRef("gh_connection", "access_token", text), stored, {}, None)


def tokens(text: str, _: Path) -> Built:
    row = inventory_row(text)
    assert row.altered == {clean(text, 100), "user_id"}, "what is shown of it is not what is stored"
    yield row
    for format_, stored in (("plaintext", "x"), ("v1", "djF8")):
        stored_token = SimpleNamespace(
            format=SimpleNamespace(protected=format_ == "v1", value=text),
            value=SimpleNamespace(reveal=lambda stored=stored: stored),
        )
        inventory = SimpleNamespace(row=lambda _: row)
        store = SimpleNamespace(read_token=lambda _, token=stored_token: token)
        yield Inspector(inventory, store, SimpleNamespace()).inspect_token(row.ref)  # type: ignore[arg-type]


def incident(text: str, _: Path) -> Built:
    book = read_runbook(BOOK.replace("WORST", json.dumps(clean(text, 50))), text)
    scope = {"key": text, "references": [text], "filter": text, "database": text, "origin": text}
    head = IncidentRow(*(1, text, "open", "a", text, text, scope, {text: text}, NOW, text, None, text, text))
    step = StepRow("one", "to do", None, None, text, text, text, text, {"state": "failed", "lines": [text]})
    piece = EvidencePiece(1, text, "census", text, NOW, text, text, 1)
    entry = EntryRow(NOW, text, "note", text, text)
    present = Present(text, text, NOW)
    view = incident_view(IncidentWhole(head, (step,), (piece,), (entry,), (present,)), book)
    yield from (view, view.incident, *view.steps, *view.evidence, *view.entries, *view.present)
    assert is_clean(str(view.incident.scope))
    assert is_clean(view.incident.placeholders)


BOOK = """
id = "a"
version = 1
title = WORST
subject = "key"
summary = WORST
[[phase]]
kind = "contain"
title = WORST
[[phase.step]]
id = "one"
title = WORST
purpose = WORST
who = WORST
do = [WORST]
on_failure = WORST
choices = [WORST, "no"]
"""


def runbook(text: str, _: Path) -> Built:
    """TOML has no raw control characters, but can escape them; what is too long is refused."""
    with pytest.raises(KeydeckError) as refused:
        read_runbook(BOOK.replace("WORST", json.dumps("w" * 9_000)), text)
    assert is_clean(refused.value.message)
    worst = json.dumps(WORST.replace("\ud83d", ""))
    book = read_runbook(BOOK.replace("WORST", worst), text)
    yield from (book, *book.phases, *book.steps)


def controls(text: str, _: Path) -> Built:
    """A catalogue of the team's, and what a control of it comes to by a snapshot."""
    from crypto_core.compliance.assessment import judge
    from crypto_core.compliance.catalogue_toml import read_catalogue
    from crypto_core.compliance.snapshot import Snapshot

    worst = json.dumps(clean(text, 50))
    read = read_catalogue(CONTROLS.replace("WORST", worst), text)
    (control,) = read.controls
    yield from (read, control, control.framework, *read.exemptions)
    yield judge(control, Snapshot(NOW), read.exemptions[0])


CONTROLS = """
id = "house"
version = 1
framework = "house"
title = WORST
edition = WORST
[[control]]
id = "house-1"
number = WORST
title = WORST
question = WORST
tests = ["tokens-encrypted"]
as_far_as = WORST
limit = WORST
owner = WORST
[owners]
"house-1" = WORST
[[exception]]
control = "house-1"
reason = WORST
by = WORST
until = 9999-12-31
"""


def approval(text: str, _: Path) -> Built:
    row = SimpleNamespace(
        **dict.fromkeys(("action", "summary", "digest", "requested_by", "decided_by", "database"), text),
        **dict.fromkeys(("request_digest", "database_id"), text),
        parts={text: text},
        decided_parts=None,
        plan={text: [text, {text: text}]},
        decision="pending",
        id=uuid4(),
        requested_at=NOW,
        expires_at=NOW,
        decided_at=None,
    )
    found = _approval(row, NOW)
    assert is_clean(found.plan)
    call = RecordedCall({text: text}, text, NOW, text, text)  # type: ignore[arg-type]
    yield from (found, call, proof_of(found, DeliveredCalls((call,), NOW)))


def job(text: str, _: Path) -> Built:
    values: dict[str, Any] = {field.name: text for field in fields(JobRow)}
    values |= dict.fromkeys(("started_at", "zero_at", "ended_at", "census_before", "census_after"), None)
    values |= {"id": 1, "verb": "rewrap", "state": "running", "created_at": NOW, "now": NOW, "restores": None}
    values |= dict.fromkeys(("planned", "calls_per_second", "wave", "zeroes"), 1) | {"remarks": [text]}
    runner = RunnerRow(uuid4(), 1, text, 1, text, NOW, NOW, None, ())
    view = job_view(JobRow(**values), JobCounts(errors={text: 1}), [runner])
    yield from (view, view.job, *view.runners)


def key(text: str, _: Path) -> Built:
    constraints = {"EncryptionContextSubset": {text: text}, text: {text: text}}
    raw = dict.fromkeys(("GrantId", "Name", "IssuingAccount", "GranteePrincipal", "RetiringPrincipal"), text)
    yield parse_grant(raw | {"Operations": [text], "Constraints": constraints})
    short = text[:2_000]  # KMS's policies have at most 32 KiB
    statement = {"Sid": short, "Effect": "Allow", "Principal": "*", "Action": short, "Resource": short}
    policy = parse_policy(json.dumps({"Version": short, "Statement": [statement]}))
    yield from (policy, *policy.statements)

    wide = [statement | {"Action": "*", "Resource": "*", "Condition": {"StringLike": {text: text}}}]

    class Kms:
        def read(self, _: str, operation: str, **__: Any) -> dict[str, Any]:
            found = {"TrailARN": text, "Name": text, "HomeRegion": text, "IsMultiRegionTrail": True}
            inline = {"PolicyName": text, "PolicyDocument": {"Statement": wide}}
            return {
                "DescribeTrails": {"trailList": [found | {"S3BucketName": text, "KmsKeyId": text}]},
                "GetTrailStatus": {"IsLogging": True, "LatestDeliveryError": text},
                "GetBucketLogging": {"LoggingEnabled": {"TargetBucket": text}},
                "GetAccountAuthorizationDetails": {
                    "UserDetailList": [{"Arn": text, "UserPolicyList": [inline]}]
                },
            }.get(operation, {})

        regions = ("eu-west-1",)

        def listed(self, *_: str, **__: Any) -> list[dict[str, Any]]:
            return [{"TargetKeyId": text, "AliasArn": text, "AliasName": text}]

    aliases = KeyInventory(Kms())._read_aliases().found  # type: ignore[arg-type]
    assert is_clean(tuple(aliases.values()))
    for trail in read_trails(Kms(), ["eu-west-1"])[0]:  # type: ignore[arg-type]
        yield from (trail, trail.bucket)
    for found in read_identities(Kms())[0]:  # type: ignore[arg-type]
        yield from (found, *found.statements)


def identity(text: str, _: Path) -> Built:
    asked = SimpleNamespace(regions=("eu-west-1",), _send=lambda *_: {"Account": text, "Arn": text})
    yield KmsApi.identity(asked)  # type: ignore[arg-type]


def log(text: str, _: Path) -> Built:
    book = FileLogBook(SimpleNamespace(log_file="none"))  # type: ignore[arg-type]
    book.emit(logging.LogRecord(text, logging.WARNING, "", 1, text.replace("%", ""), (), None))
    yield from book.lines()


def anchor(text: str, _: Path) -> Built:
    signed = Signature(text, text, b"s")
    kept = Anchor(Checkpoint(1, b"d", datetime.now(UTC), signed, text))

    def refuse(*_: Any, **__: Any) -> dict[str, Any]:
        raise AnchorError(text)

    place = AnchorBucket(refuse, refuse, bucket=text, prefix="", days=1)
    yield from Anchoring(stores=[place]).anchor(kept.checkpoint)[1]
    told = text.encode(errors="ignore").decode()  # what can't be encoded is refused
    short = replace(
        kept, checkpoint=replace(kept.checkpoint, signature=Signature("", "", b"s"), database_id=told)
    )
    found = anchor_of(short.line(), place.where)
    yield check(JournalVerification(None, (), [found], database_id="x"), None, also=[text])


def provider_log(text: str, folder: Path) -> Built:
    from crypto_core.forensics.provider_logs.mappings import read_event
    from crypto_core.forensics.provider_logs.store import EventChoice, ProviderLog
    from crypto_core.forensics.provider_logs.token_hashes import TokenHashBook

    texts = ("action", "actor", "actor_ip", "user_agent", "repo", "org", "programmatic_access_type")
    yield read_event(
        {"@timestamp": 1_790_000_000_000, "_document_id": text, **dict.fromkeys(texts, text)}, b""
    )
    user = {"email": text, "team": text}
    context = {"ip_address": text, "ua": text, "location": {"id": text}, "app": {"id": text}}
    entry = {"id": text, "date_create": 1_790_000_000, "action": text, "actor": {"user": user}}
    of_slack = read_event({**entry, "context": context, "entity": {"type": text}}, b"")
    yield of_slack
    log = ProviderLog(StoreFile(folder / "providers.sqlite"))
    log.add([of_slack])
    yield from (*log.uses(EventChoice()), *log.events(EventChoice()))
    book = TokenHashBook(log.file)
    book.note({TokenRef("t", "c", "1"): b"h" * 32}, text, datetime.now(UTC))
    yield from book.known()
    log.file.close()


def receipt(text: str, _: Path) -> Built:
    document = {"request_id": "a", "operation": "Decrypt", "at": NOW.isoformat(), "stored_sha256": None}
    found = receipt_of(document | {"token": text, "host": text, "service": text, "pid": 1})
    yield from (found, found.process)


def scanned(text: str, _: Path) -> Built:
    from crypto_core.forensics.copies.attribution import CopyAttribution
    from crypto_core.forensics.copies.scan import ScanOfCopy
    from crypto_core.forensics.copies.values import FoundValue

    scan = ScanOfCopy(text)
    scan.problem(text, 1, text)
    scan.tally.count(FoundValue(1, damaged=True), text, 1)
    yield scan
    yield from scan.tally.damaged_places
    report = CopyAttribution(dict).report([scan], NOW)
    yield from report.copies


def stored_receipts(text: str, folder: Path) -> Built:
    store = EventStore(folder / "receipts.sqlite")
    ids = ("0f0e0d0c-0b0a-0908-0706-050403020100", "1f0e0d0c-0b0a-0908-0706-050403020100")
    calls = [read_record(records.record(requestID=one, who=records.user(text[:200]))) for one in ids]
    store.add([call for call in calls if call])
    told = {"operation": "Decrypt", "at": records.NOW.isoformat(), "host": text, "service": text, "pid": 1}
    first = receipt_of(told | {"request_id": ids[0], "token": text})
    wrong = receipt_of(told | {"request_id": ids[1], "token": text, "operation": "ReEncrypt"})
    lost = LostReceipts(1, records.NOW, records.NOW, first.process)
    store.add_receipts([first, wrong, lost], writer=text[:63])
    yield from store.receipt_subjects("").rows
    yield from covers_of(store, "name:Decrypt")
    history, always = ReceiptHistory(store.file), Span()
    yield from history.writers((), always)
    yield from history.allowances(always)
    with store.file.reading() as connection:
        yield from receipt_questions.contradictions(connection, Bounds(), 10)
        yield from receipt_questions.lost_spans(connection, Bounds())
        yield from (one for number in (1, 2) for one in receipt_questions.receipts_of(connection, number))
    store.close()


BUILDERS: tuple[Callable[[str, Path], Built], ...] = (
    *(trail, catalogue, tokens, incident, runbook, approval, job, key, identity, log, anchor),
    receipt,
    *(() if is_left_out("crypto_core/compliance/") else (controls,)),
    *(() if is_left_out("crypto_core/forensics/") else (provider_log, scanned)),
    stored_receipts,
)


@pytest.mark.quick(1)
@TEXTS
def test_what_is_built_from_hostile_text_has_clean_text_and_no_model_is_left_out(
    text: str, tmp_path: Path
) -> None:
    built = [one for build in BUILDERS for one in build(text, tmp_path)]
    for one in built:
        if type(one).__name__ in models():
            for name in annotated(models()[type(one).__name__]):
                assert is_clean(getattr(one, name)), (type(one).__name__, name)
    missing = models().keys() - OWN_WORK.keys() - {type(one).__name__ for one in built}
    assert not missing, "say above how these are built from foreign text"


@pytest.mark.parametrize("name", sorted(OWN_WORK))
def test_a_model_that_cleans_itself_is_clean_however_it_is_made(name: str) -> None:
    path, node = OWN_WORK[name]
    model = getattr(importlib.import_module(module_of(path)), name)
    types = {field.name: str(field.type) for field in fields(model)}
    for text in (WORST, LONG):
        made = object.__new__(model)
        for field, type_ in types.items():
            value: object = text
            if type_.startswith("tuple"):
                value = (text,)
            elif type_.startswith(("Mapping", "dict")):
                value = {text: text}
            object.__setattr__(made, field, value)
        made.__post_init__()
        for field in {*cleaned_by_itself(path, node), *annotated(node)}:
            assert is_clean(getattr(made, field)), field


def test_clean_text_is_made_where_it_is_cleaned_and_by_whoever_takes_a_part_of_it() -> None:
    made_in = {
        module_of(path)
        for path, tree in sources("CleanText", "crypto_core", "screens", "console")
        for node in ast.walk(tree)
        if (isinstance(node, ast.Call) and ast.unparse(node.func) == "CleanText")
        or (isinstance(node, ast.Call) and any(ast.unparse(a) == "CleanText" for a in node.args))
    }
    assert made_in == {
        "crypto_core.values.clean_text",
        "crypto_core.lists.toml_fields",
        "crypto_core.incidents.steps.evidence_text",
        "crypto_core.trail.record_reader",
        "crypto_core.trail.store.counts",
        "crypto_core.trail.store.suppressions",
        "console.commands.events_list",
    }


def test_screens_clean_only_what_enters_there() -> None:
    """Records and evidence as they came, what is typed and remembered, commands, a path, and cells: there
    names are.
    """
    cleaning = {
        module_of(path)
        for path, tree in sources("clean", "screens")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "clean"
    }
    assert cleaning <= {
        "screens.events.event_screen",
        "screens.incidents.evidence_screen",
        "screens.log.screen",
        "screens.own_column",
        "screens.principals",
        "screens.user_command",
        "screens.widgets.cells",
        "screens.widgets.clipboard",
        "screens.widgets.filter_bar",
        "screens.widgets.line_input",
        "screens.widgets.table.columns",
        "screens.widgets.table.pane",
    }


def test_an_errors_words_are_clean_from_the_start() -> None:
    error = KeydeckError(LONG, remedy=LONG)
    assert is_clean(error.message)
    assert is_clean(error.remedy)
    assert is_clean(str(error))
