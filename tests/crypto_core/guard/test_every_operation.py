"""Each operation of the table, by the service that does it.

It is refused read only and, where it shows a plan, without a consent to it; it waits for a second person
where one can be demanded, and is journaled on every outcome. What only looks is not here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.capabilities import added_services
from console.commands.init import set_up
from console.container import Container
from console.sandbox.provider_tokens import MARKER
from console.sandbox.providers_control import ProviderControl
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.column_guards.plan import GuardRequest
from crypto_core.database.state.journal import JournalEntry
from crypto_core.envelope import parse, serialise
from crypto_core.guard.approvals import ACTIONS
from crypto_core.guard.consent import Consent, Danger, Subject
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import BY_NAME, OPERATIONS
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.people import IncidentRole
from crypto_core.incidents.service import IncidentService
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.policy.block_statement import BlockStatement, with_blocks
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.reencryption.backup_restore import BackupSelection
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from tests.crypto_core.agreed import agreed
from tests.crypto_core.damaging import damaged
from tests.crypto_core.database.column_guards.conftest import hand_over
from tests.crypto_core.second_person import SecondPerson
from tests.crypto_core.statements import execute, scalar
from tests.left_out import is_left_out

Run = Callable[[Container, Any, Consent | None], object]
PLATFORM = "arn:aws:iam::123456789012:role/keydeck-platform"
SUSPECT = "arn:aws:iam::123456789012:role/somebody-else"


@dataclass(frozen=True)
class Recipe:
    """How an operation is planned, and done."""

    plan: Callable[[Container], Any]
    run: Run


@dataclass
class Ground:
    """What recipes are made from."""

    kms: Any
    world: World
    platform: Engine
    superuser: Engine
    providers: ProviderControl
    container: Container
    setenv: Callable[[str, str], None]

    def started(self, **options: Any) -> int:
        """A job that has begun, and that nobody works on; its number."""
        plan = self.container.tokens.jobs.plan_job(
            Verb.REENCRYPT, self.sealed(), self.world.current_key.arn, JobOptions()
        )
        return self.container.tokens.jobs.start_job(plan, agreed(plan))

    def incident(self) -> tuple[IncidentService, int]:
        """An incident about a token of the test's own: what keeps it, and its number."""
        incidents = self.container.services.incidents
        assert incidents is not None
        return incidents, incidents.declare(
            "token-compromise", IncidentScope(references=(str(self.plaintext()),))
        )

    def key(self, **options: Any) -> str:
        """A key of the test's own: its ARN."""
        return str(self.kms.create_key(**options)["KeyMetadata"]["Arn"])

    def sealed(self) -> Selection:
        """A token that can be moved to the present key."""
        return Selection((self.world.sealed_under(self.world.old_key)[0],))

    def moved(self) -> int:
        """A job that has moved a token; its number."""
        job = self.started()
        assert self.container.tokens.jobs.join_job(job).done == 1
        return job

    def plaintext(self, value: str = f"ghp_{MARKER}{1:025}") -> TokenRef:
        """A token stored in plaintext, in a row of its own."""
        statement = (
            "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, installation_id, "
            "scopes, created_at) VALUES ('own', 'org-a', 'user-a', :token, 'oauth', 1, '[]', now())"
        )
        execute(self.platform, statement, token=value)
        return TokenRef("gh_connection", "access_token", "own")


def through(service: str, plan: str, run: str, *given: object) -> Recipe:
    """The recipe of a service's two methods, the first with what is given."""

    def of(container: Container, method: str) -> Callable[..., Any]:
        made = added_services().get(service, OF_ANOTHER.get(service, attrgetter(service)))
        return getattr(made(container), method)  # type: ignore[no-any-return]

    return Recipe(
        lambda container: of(container, plan)(*given),
        lambda container, planned, consent: of(container, run)(planned, consent),
    )


@pytest.fixture
def ground(
    sandbox: Sandbox,
    services: Container,
    world: World,
    platform: Engine,
    superuser: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ground]:
    sandbox.providers.clear()
    kms = sandbox.client("kms")
    yield Ground(kms, world, platform, superuser, sandbox.providers, services, monkeypatch.setenv)
    sandbox.providers.clear()


def of_a_key_kind(ground: Ground, kind: ChangeKind) -> Recipe:
    """A change that there is something to do for."""
    if kind is ChangeKind.CREATE:
        change = KeyChange(kind, alias="every-operation", principals={Role.PLATFORM: (PLATFORM,)})
        return through("key_management.changes", "plan_change", "make_change", change)
    key = ground.key(MultiRegion=kind is ChangeKind.REPLICATE)
    more: dict[str, Any] = {}
    match kind:
        case ChangeKind.DISABLE_ROTATION:
            ground.kms.enable_key_rotation(KeyId=key)
        case ChangeKind.POINT_ALIAS:
            more["alias"] = "every-operation"
        case ChangeKind.ENABLE:
            ground.kms.disable_key(KeyId=key)
        case ChangeKind.CANCEL_DELETION:
            ground.kms.schedule_key_deletion(KeyId=key)
        case ChangeKind.PUT_POLICY:
            policy = json.loads(ground.kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
            statement = policy["Statement"][0] | {"Sid": "One more", "Action": "kms:DescribeKey"}
            more["policy"] = json.dumps(policy | {"Statement": [*policy["Statement"], statement]})
        case ChangeKind.BLOCK:
            more["principal"] = SUSPECT
        case ChangeKind.UNBLOCK:
            more["principal"] = SUSPECT
            text = ground.kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
            blocked = json.dumps(with_blocks(parse_policy(text), [BlockStatement(SUSPECT)]))
            ground.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=blocked)
        case ChangeKind.REVOKE_GRANT:
            grant = ground.kms.create_grant(KeyId=key, GranteePrincipal=PLATFORM, Operations=["Decrypt"])
            more["grant_id"] = grant["GrantId"]
        case ChangeKind.REPLICATE:
            more["region"] = "us-east-1"
    return through("key_management.changes", "plan_change", "make_change", KeyChange(kind, key, **more))


def of_tokens(ground: Ground, verb: Verb, *, as_a_job: bool = False) -> Recipe:
    selection = Selection((ground.plaintext(),)) if verb is Verb.ENCRYPT else ground.sealed()
    target = ground.world.current_key.arn
    if as_a_job:
        return through("tokens.jobs", "plan_job", "start_job", verb, selection, target, JobOptions())
    return through("tokens.work", "plan_reencryption", "run_plan", verb, selection, target)


def restore(ground: Ground) -> Recipe:
    job = ground.moved()
    return through("tokens.undoing", "plan_restore", "start_restore", job)


def put_back(ground: Ground) -> Recipe:
    ground.moved()
    (ref,) = ground.sealed().references
    return through("tokens.backup_restoring", "plan_restore", "restore_envelopes", BackupSelection((ref,)))


def purge(ground: Ground) -> Recipe:
    ground.moved()
    return through("tokens.undoing", "plan_purge", "purge_backups")


def enter(ground: Ground) -> Recipe:
    ref, new = ground.plaintext(), f"ghp_{MARKER}{2:025}"
    ground.providers.issue(new)
    return Recipe(
        lambda container: container.tokens.entering.plan_entry(ref, Secret.of(new)),
        lambda container, plan, consent: container.tokens.entering.enter_token(plan, Secret.of(new), consent),
    )


def index(ground: Ground, word: str) -> Recipe:
    ground.setenv("KEYDECK_TOKEN_INDEX", "1")
    ground.container.settings = ground.container.settings.model_copy(update={"token_index": True})
    if word == "drop":
        with closing(Container(load().settings)) as filling:
            tokens = added_services()["token_index"](filling)
            plan = tokens.plan_build(1)
            assert tokens.build(plan, agreed(plan)).noted
    return through("token_index", f"plan_{word}", word)


def guard(ground: Ground) -> Recipe:
    """Of a column that holds envelopes alone, in a table that this role owns."""
    hand_over(ground.superuser, "gh_connection")
    request = GuardRequest(columns=("gh_connection.refresh_token",))
    return through("tokens.column_guards", "plan_guard", "change_guards", request)


def tripwires_of(container: Container) -> Any:
    from tests.crypto_core.forensics.tripwires import conftest

    return conftest.tripwires_of(container)


OF_ANOTHER = {"tripwires": tripwires_of}
"""The services that are no attribute of a container."""


def tripwire(ground: Ground, word: str) -> Recipe:
    """One to add, or one that there is."""
    from crypto_core.forensics.tripwires.plan import AddRequest
    from tests.crypto_core.forensics.tripwires import conftest

    conftest.let_add_rows(ground.superuser)
    request = AddRequest("gh_connection", key=ground.key())
    given: tuple[object, ...] = (request,)
    if word != "add":
        made = conftest.added(conftest.tripwires_of(ground.container, approvals=None))
        given = (made.number,) if word == "remove" else ()
    return through("tripwires", f"plan_{word}", word, *given)


OF_FORENSICS: dict[str, Callable[[Ground], Recipe]] = {
    f"tripwire {word}": lambda ground, word=word: tripwire(ground, word)
    for word in ("add", "remove", "reseal")
}


def revoke(ground: Ground) -> Recipe:
    ref = ground.plaintext()
    return through("tokens.providers", "plan_revocation", "revoke", (ref,))


def incident_run(ground: Ground) -> Recipe:
    incidents, number = ground.incident()
    return Recipe(
        lambda _: incidents.plan_action(number, "revoke"),
        lambda container, plan, consent: container.incident_response.incidents.run_action(
            number, "revoke", plan, consent
        ),
    )


def accept_lost(ground: Ground) -> Recipe:
    """Of a token whose data key KMS refuses as invalid, under a key of its own."""
    key = ground.key()
    sealed = TokenCipher(ground.container.keyring.trusting(key)).encrypt("gho_lost", key).stored
    envelope = parse(sealed)
    broken = replace(envelope, encrypted_data_key=damaged(envelope.encrypted_data_key))
    ground.plaintext(serialise(broken))
    with closing(Container(load().settings)) as declaring:
        number = declaring.incident_response.incidents.declare("key-compromise", IncidentScope(key=key))
    return Recipe(
        lambda container: container.incident_response.incidents.plan_accept_lost(
            number, "Its owner connects again."
        ),
        lambda container, plan, consent: container.incident_response.incidents.accept_lost(
            number, plan, consent
        ),
    )


def journal_break(ground: Ground) -> Recipe:
    """Of a journal whose newest entries are gone, with the row that counts them."""
    signing = ground.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    ground.setenv("KEYDECK_SIGNING_KEY", signing)
    container = ground.container
    container.settings = container.settings.model_copy(update={"signing_key": (signing,)})
    for number in range(3):
        container.journal.record("init", f"{number}", Outcome.DONE)
    with closing(Container(load().settings)) as signed:
        signed.checkpoints.checkpoint()
    execute(
        ground.superuser,
        "SET LOCAL session_replication_role = replica",
        "DELETE FROM keydeck.journal WHERE seq > 2",
        "UPDATE keydeck.journal_end SET (seq, digest) ="
        " (SELECT seq, digest FROM keydeck.journal WHERE seq = 2)",
    )
    return through("journal_breaks", "plan_break", "acknowledge_break", "A restored backup.")


OF_SEARCH: dict[str, Callable[[Ground], Recipe]] = {
    f"whose index {word}": lambda ground, word=word: index(ground, word) for word in ("build", "drop")
}
RECIPES: dict[str, Callable[[Ground], Recipe]] = {
    **{f"keys {kind.value}": lambda ground, kind=kind: of_a_key_kind(ground, kind) for kind in ChangeKind},
    **{verb.value: lambda ground, verb=verb: of_tokens(ground, verb) for verb in Verb},
    **{
        f"{verb.value} as a job": lambda ground, verb=verb: of_tokens(ground, verb, as_a_job=True)
        for verb in Verb
    },
    "jobs restore": restore,
    "backups restore": put_back,
    "backups purge": purge,
    "enter token": enter,
    "revoke": revoke,
    "guard": guard,
    **({} if is_left_out("crypto_core/forensics/") else OF_FORENSICS | OF_SEARCH),
    "journal break": journal_break,
    "incident run": incident_run,
    "incident accept-lost": accept_lost,
}


@dataclass(frozen=True)
class Deed:
    """An operation that shows no plan: how it is done, and how the journal says that it ended."""

    do: Callable[[Container], object]
    outcome: str = "done"
    journaled_as: str = ""


def of_a_job_there_is(word: str) -> Callable[[Ground], Deed]:
    def make(ground: Ground) -> Deed:
        job = ground.started()
        if word == "resume":
            ground.container.tokens.jobs.pause_job(job)
        return Deed(lambda container: getattr(container.tokens.jobs, f"{word}_job")(job))

    return make


def retry(ground: Ground) -> Deed:
    """Of a job that was cancelled: refused."""
    job = ground.started()
    ground.container.tokens.jobs.cancel_job(job)
    return Deed(lambda container: container.tokens.jobs.retry_job(job), "refused")


def join(ground: Ground) -> Deed:
    """The journal has what the job was begun as, and that it has ended."""
    job = ground.started()
    return Deed(lambda container: container.tokens.jobs.join_job(job), journaled_as="reencrypt")


def of_a_step(word: str, step: str, *arguments: str, after: str = "") -> Callable[[Ground], Deed]:
    def make(ground: Ground) -> Deed:
        incidents, number = ground.incident()
        if after:
            getattr(incidents, after)(number, step, "Not needed here.")
        return Deed(lambda container: getattr(container.services.incidents, word)(number, step, *arguments))

    return make


def declare(ground: Ground) -> Deed:
    scope = IncidentScope(references=(str(ground.plaintext()),))
    return Deed(lambda container: container.services.incidents.declare("token-compromise", scope))


def of_an_incident(word: str, *given: object) -> Callable[[Ground], Deed]:
    def make(ground: Ground) -> Deed:
        _, number = ground.incident()
        return Deed(lambda container: getattr(container.incident_response.incidents, word)(number, *given))

    return make


def end_follow_up(ground: Ground) -> Deed:
    incidents, number = ground.incident()
    kept = incidents.follow_up(number, "Look again.").number
    return Deed(lambda container: container.services.incidents.end_follow_up(number, kept, "Looked."))


def close(ground: Ground) -> Deed:
    incidents, number = ground.incident()
    for step in incidents.show(number).steps:
        incidents.skip(number, step.step.id, "Not needed here.")
    return Deed(lambda container: container.services.incidents.close(number, "A false alarm."))


def decide(approve: bool) -> Callable[[Ground], Deed]:
    """One's own request, which can be denied and never approved."""

    def make(ground: Ground) -> Deed:
        asked = ground.container.approvals.request("keys disable", "Disable it", "d1", {})
        return Deed(
            lambda container: container.approvals.decide(asked, approve=approve),
            "refused" if approve else "done",
        )

    return make


def checkpoint(ground: Ground) -> Deed:
    ground.container.journal.record("init", "schema keydeck", Outcome.DONE)
    ground.setenv("KEYDECK_SIGNING_KEY", ground.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY"))

    def sign(container: Container) -> None:
        with closing(Container(load({"read_only": container.settings.read_only}).settings)) as signing:
            signing.checkpoints.checkpoint()

    return Deed(sign)


def init(ground: Ground) -> Deed:
    execute(ground.container.engine, "DROP SCHEMA keydeck CASCADE")
    return Deed(set_up)


def suppress(container: Container) -> object:
    return container.trail.rules.suppress("event-key-disabled", "*", "planned", 1, "ana")


def unsuppress(ground: Ground) -> Deed:
    suppress(ground.container)
    return Deed(lambda container: container.trail.rules.unsuppress(1))


def register(container: Container) -> object:
    from crypto_core.forensics.copies.register import NewCopy
    from crypto_core.forensics.copies.report import CopyReport

    holds = CopyReport(clean("dump"), 1, 1, (), (), 0)
    return copy_register(container).add(NewCopy("dump", holds, datetime.now(UTC)))


def unregister(ground: Ground) -> Deed:
    register(ground.container)
    return Deed(lambda container: copy_register(container).remove("dump"))


def copy_register(container: Container) -> Any:
    return container.services.named("copy_register")


def review(container: Container) -> object:
    from console.evidence.services import EvidenceServices

    reviewer = container.of(EvidenceServices).access_reviewer
    return reviewer.record(reviewer.look(), "The quarter's review.")


def record(container: Container) -> object:
    from console.evidence.services import EvidenceServices

    return container.of(EvidenceServices).evidence_recorder.record_day().record


OF_EVIDENCE = {"evidence review": lambda _: Deed(review), "evidence record": lambda _: Deed(record)}
OF_COPIES = {"copies add": lambda _: Deed(register), "copies remove": unregister}
HERE: dict[str, Callable[[Ground], Deed]] = {
    **({} if is_left_out("console/evidence/") else OF_EVIDENCE),
    **({} if is_left_out("console/forensics/") else OF_COPIES),
}
DEEDS: dict[str, Callable[[Ground], Deed]] = {
    **{f"jobs {word}": of_a_job_there_is(word) for word in ("pause", "resume", "cancel")},
    "jobs retry": retry,
    "jobs join": join,
    "incident declare": declare,
    "incident finish": of_a_step("finish", "access"),
    "incident answer": of_a_step("answer", "key", "the key stays"),
    "incident capture": of_a_step("capture", "scope"),
    "incident skip": of_a_step("skip", "scope", "Not needed here."),
    "incident reopen": of_a_step("reopen", "scope", "It is needed.", after="skip"),
    "incident note": of_an_incident("note", "Called the platform's team."),
    "incident assign": of_an_incident("assign", IncidentRole.LEAD),
    "incident follow-up add": of_an_incident("follow_up", "Look again."),
    "incident follow-up done": end_follow_up,
    "incident close": close,
    "approvals approve": decide(approve=True),
    "approvals deny": decide(approve=False),
    "findings suppress": lambda _: Deed(suppress),
    "findings unsuppress": unsuppress,
    "journal checkpoint": checkpoint,
    **HERE,
    "init": init,
}


def name_of(recipe: str) -> str:
    """The operation that a recipe is of."""
    return recipe.removesuffix(" as a job")


def test_no_operation_is_without_its_recipe_here() -> None:
    planned = {name_of(recipe) for recipe in (*RECIPES, *OF_FORENSICS, *OF_SEARCH)}
    assert planned == {operation.name for operation in OPERATIONS if operation.planned}
    done = {*planned, *DEEDS, *OF_EVIDENCE, *OF_COPIES}
    assert done == {operation.name for operation in OPERATIONS if operation.changes}
    assert set(ACTIONS) == {operation.name for operation in OPERATIONS if operation.second_person} <= planned


def test_what_changes_anything_takes_asking_and_what_looks_takes_none() -> None:
    for operation in OPERATIONS:
        assert (operation.danger is Danger.NONE) is (not operation.changes), operation.name
        assert operation.words
        assert operation.effect
        assert not operation.effect.endswith(".")


@pytest.mark.quick(5)
@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_is_done_before_all_have_agreed_and_every_outcome_is_journaled(
    ground: Ground, services: Container, sandbox: Sandbox, recipe: str
) -> None:
    how = RECIPES[recipe](ground)
    second = SecondPerson()
    services.__dict__["approvals"] = second
    before = len(services.journal.entries())
    done_before = changes(sandbox, ground)
    second.worth = "An approval proves nothing here."
    plan = how.plan(services)
    if BY_NAME[name_of(recipe)].second_person:
        assert getattr(plan, "plan", plan).warnings[-1] == second.worth

    reading = Container(load({"read_only": True}).settings)
    with pytest.raises(errors.ReadOnlyError):
        how.run(reading, plan, agreed(plan))
    reading.close()

    other = Subjected(plan, digest="0" * 64)
    for consent in (None, agreed(other)):
        with pytest.raises(errors.NotConfirmedError):
            how.run(services, plan, consent)
    assert second.asked == []

    operation = BY_NAME[name_of(recipe)]
    if operation.second_person:
        with pytest.raises(errors.ApprovalNeededError):
            how.run(services, plan, agreed(plan))
        ((action, _, digest),) = second.asked
        assert (action, digest) == (operation.journaled_as, plan.digest)
    assert changes(sandbox, ground) == done_before
    assert plan.danger is not Danger.NONE
    assert plan.danger is Danger.TYPED or operation.danger is not Danger.TYPED

    second.approved.add(plan.digest)
    how.run(services, plan, agreed(plan))
    assert changes(sandbox, ground) != done_before
    entries = [e for e in services.journal.entries()[before:] if e.action == operation.journaled_as]
    outcomes = [entry.outcome for entry in entries]
    begun = ["dry run", "refused", "refused", "refused", "started"]
    if not operation.second_person:
        # The steps of incidents are planned, and begin, under names of their own.
        begun = ["refused", "refused"]
    assert outcomes[: len(begun)] == begun
    as_a_job = recipe.endswith("as a job") or recipe == "jobs restore"
    assert {*outcomes[len(begun) :]} == (set() if as_a_job else {"done"})
    assert services.journal.verify() is None


def journaled(services: Container) -> tuple[JournalEntry, ...]:
    """The journal's entries; none where there is no journal yet."""
    try:
        return tuple(services.journal.entries())
    except errors.MissingSchemaError:
        return ()


@pytest.mark.quick(4)
@pytest.mark.parametrize("name", DEEDS)
def test_what_shows_no_plan_is_refused_read_only_and_journaled(
    ground: Ground, services: Container, name: str
) -> None:
    deed = DEEDS[name](ground)
    before = journaled(services)

    reading = Container(load({"read_only": True}).settings)
    with pytest.raises(errors.ReadOnlyError):
        deed.do(reading)
    reading.close()
    assert journaled(services) == before

    refused = pytest.raises(errors.KeydeckError) if deed.outcome == "refused" else nullcontext()
    with refused:
        deed.do(services)
    action = deed.journaled_as or BY_NAME[name].journaled_as
    ended = [e.outcome for e in services.journal.entries()[len(before) :] if e.action == action]
    assert ended == [deed.outcome]
    assert services.journal.verify() is None


@dataclass(frozen=True)
class Subjected:
    """Another plan, as dangerous."""

    plan: Subject
    digest: str

    @property
    def danger(self) -> Danger:
        return self.plan.danger

    @property
    def confirmation(self) -> str:
        return self.plan.confirmation


def changes(sandbox: Sandbox, ground: Ground) -> object:
    """All that may be changed: keys by calls, stored tokens, their checks, what is kept, providers."""
    looks = ("Describe", "Get", "List", "Decrypt", "Generate", "Lookup", "ReEncrypt", "Verify")
    calls = {
        action: number
        for action, number in sandbox.control.stats().calls.items()
        if action.startswith("kms:") and not action.removeprefix("kms:").startswith(looks)
    }
    with ground.platform.connect() as connection:
        stored = connection.scalars(text("SELECT access_token FROM gh_connection ORDER BY id")).all()
        more = connection.scalars(text("SELECT bot_token FROM slack_connection ORDER BY id")).all()
        checks = connection.scalars(text("SELECT conname FROM pg_constraint WHERE contype = 'c'")).all()
    kept = [
        scalar(ground.container.engine, f"SELECT sum(length(t::text)) FROM keydeck.{name} t")
        for name in ("job", "envelope_backup", "fingerprint", "incident_evidence", "tripwire")
    ]
    return calls, stored, more, checks, kept, len(ground.providers.calls())
