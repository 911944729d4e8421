"""Each operation of the table, by the service that does it.

It is refused read only and without consent, waits for a second person, and is journaled on every outcome.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.provider_tokens import MARKER
from console.sandbox.providers_control import ProviderControl
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.errors import ApprovalNeededError, NotConfirmedError, ReadOnlyError
from crypto_core.guard.approvals import ACTIONS, SAME_AS
from crypto_core.guard.consent import Consent, Danger, Subject
from crypto_core.guard.operations import OPERATIONS
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.references import TokenRef
from crypto_core.secret import Secret
from tests.crypto_core.second_person import SecondPerson

Run = Callable[[Container, Any, Consent | None], object]
PLATFORM = "arn:aws:iam::123456789012:role/keydeck-platform"


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
    providers: ProviderControl
    container: Container

    def key(self, **options: Any) -> str:
        """A key of the test's own: its ARN."""
        return str(self.kms.create_key(**options)["KeyMetadata"]["Arn"])

    def sealed(self) -> Selection:
        """A token that can be moved to the present key."""
        return Selection((self.world.sealed_under(self.world.old_key)[0],))

    def moved(self) -> int:
        """A job that has moved a token; its number."""
        jobs = self.container.jobs
        plan = jobs.plan(Verb.REENCRYPT, self.sealed(), self.world.current_key.arn, JobOptions())
        job = jobs.start(plan, agreed(plan))
        assert jobs.join(job).done == 1
        return job

    def plaintext(self, value: str = f"ghp_{MARKER}{1:025}") -> TokenRef:
        """A token stored in plaintext, in a row of its own."""
        statement = (
            "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, installation_id, "
            "scopes, created_at) VALUES ('own', 'org-a', 'user-a', :token, 'oauth', 1, '[]', now())"
        )
        with self.platform.begin() as connection:
            connection.execute(text(statement), {"token": value})
        return TokenRef("gh_connection", "access_token", "own")


def agreed(plan: Subject) -> Consent:
    """The consent that a plan demands."""
    typed = plan.danger is Danger.TYPED
    return Consent.typed(plan, plan.confirmation) if typed else Consent.pressed(plan)


@pytest.fixture
def ground(sandbox: Sandbox, services: Container, world: World, platform: Engine) -> Iterator[Ground]:
    sandbox.providers.clear()
    yield Ground(sandbox.client("kms"), world, platform, sandbox.providers, services)
    sandbox.providers.clear()


def of_a_key(change: KeyChange) -> Recipe:
    return Recipe(
        lambda container: container.key_changes.plan(change),
        lambda container, plan, consent: container.key_changes.run(plan, consent),
    )


def of_a_key_kind(ground: Ground, kind: ChangeKind) -> Recipe:
    """A change that there is something to do for."""
    if kind is ChangeKind.CREATE:
        return of_a_key(KeyChange(kind, alias="every-operation", principals={Role.PLATFORM: (PLATFORM,)}))
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
        case ChangeKind.REVOKE_GRANT | ChangeKind.RETIRE_GRANT:
            grant = ground.kms.create_grant(KeyId=key, GranteePrincipal=PLATFORM, Operations=["Decrypt"])
            more["grant_id"] = grant["GrantId"]
        case ChangeKind.REPLICATE:
            more["region"] = "us-east-1"
    return of_a_key(KeyChange(kind, key, **more))


def of_tokens(ground: Ground, verb: Verb) -> Recipe:
    selection = Selection((ground.plaintext(),)) if verb is Verb.ENCRYPT else ground.sealed()
    target = ground.world.current_key.arn
    return Recipe(
        lambda container: container.work.plan(verb, selection, target),
        lambda container, plan, consent: container.work.run(plan, consent),
    )


def of_a_job(ground: Ground, verb: Verb) -> Recipe:
    selection = Selection((ground.plaintext(),)) if verb is Verb.ENCRYPT else ground.sealed()
    target = ground.world.current_key.arn
    return Recipe(
        lambda container: container.jobs.plan(verb, selection, target, JobOptions()),
        lambda container, plan, consent: container.jobs.start(plan, consent),
    )


def restore(ground: Ground) -> Recipe:
    job = ground.moved()
    return Recipe(
        lambda container: container.undoing.plan_restore(job),
        lambda container, plan, consent: container.undoing.restore(plan, consent),
    )


def purge(ground: Ground) -> Recipe:
    ground.moved()
    return Recipe(
        lambda container: container.undoing.plan_purge(),
        lambda container, plan, consent: container.undoing.purge(plan, consent),
    )


def enter(ground: Ground) -> Recipe:
    ref, new = ground.plaintext(), f"ghp_{MARKER}{2:025}"
    ground.providers.issue(new)
    return Recipe(
        lambda container: container.entering.plan(ref, Secret.of(new)),
        lambda container, plan, consent: container.entering.enter(plan, Secret.of(new), consent),
    )


def revoke(ground: Ground) -> Recipe:
    ref = ground.plaintext()
    return Recipe(
        lambda container: container.providers.plan_revocation((ref,)),
        lambda container, plan, consent: container.providers.revoke(plan, consent),
    )


RECIPES: dict[str, Callable[[Ground], Recipe]] = {
    **{f"keys {kind.value}": lambda ground, kind=kind: of_a_key_kind(ground, kind) for kind in ChangeKind},
    **{verb.value: lambda ground, verb=verb: of_tokens(ground, verb) for verb in Verb},
    **{f"{verb.value} as a job": lambda ground, verb=verb: of_a_job(ground, verb) for verb in Verb},
    "jobs restore": restore,
    "backups purge": purge,
    "enter token": enter,
    "revoke": revoke,
}


def name_of(recipe: str) -> str:
    """The operation that a recipe is of."""
    return recipe.removesuffix(" as a job")


def test_no_operation_is_without_its_recipe_here() -> None:
    assert {name_of(recipe) for recipe in RECIPES} == set(ACTIONS)
    assert {o.name for o in OPERATIONS if not o.second_person} == {
        "inspect",
        "verify",
        "incident",
        "journal checkpoint",
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_is_done_before_all_have_agreed_and_every_outcome_is_journaled(
    ground: Ground, services: Container, sandbox: Sandbox, recipe: str
) -> None:
    how = RECIPES[recipe](ground)
    second = SecondPerson()
    services.__dict__["approvals"] = second
    before = len(services.journal.entries())
    done_before = changes(sandbox, ground)
    plan = how.plan(services)

    reading = Container(load({"read_only": True}).settings)
    with pytest.raises(ReadOnlyError):
        how.run(reading, plan, agreed(plan))
    reading.close()

    other = Subjected(plan, digest="0" * 64)
    for consent in (None, agreed(other)):
        with pytest.raises(NotConfirmedError):
            how.run(services, plan, consent)
    assert second.asked == []

    with pytest.raises(ApprovalNeededError):
        how.run(services, plan, agreed(plan))
    ((action, _, digest),) = second.asked
    assert (SAME_AS.get(action, action), digest) == (name_of(recipe), plan.digest)
    assert changes(sandbox, ground) == done_before

    second.approved.add(plan.digest)
    how.run(services, plan, agreed(plan))
    assert changes(sandbox, ground) != done_before
    entries = [e for e in services.journal.entries()[before:] if e.action == action]
    outcomes = [entry.outcome for entry in entries]
    begun = ["dry run", "refused", "refused", "refused", "started"]
    assert outcomes[: len(begun)] == begun
    as_a_job = recipe.endswith("as a job") or recipe == "jobs restore"
    assert {*outcomes[len(begun) :]} == (set() if as_a_job else {"done"})
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
    """All that an operation may change: calls that change keys, stored tokens, jobs, backups, providers."""
    looks = ("Describe", "Get", "List", "Decrypt", "Generate", "Lookup", "ReEncrypt")
    calls = {
        action: number
        for action, number in sandbox.control.stats().calls.items()
        if action.startswith("kms:") and not action.removeprefix("kms:").startswith(looks)
    }
    with ground.platform.connect() as connection:
        stored = connection.scalars(text("SELECT access_token FROM gh_connection ORDER BY id")).all()
        more = connection.scalars(text("SELECT bot_token FROM slack_connection ORDER BY id")).all()
    with ground.container.engine.connect() as connection:
        kept = [
            connection.scalar(text(f"SELECT sum(length(t::text)) FROM keydeck.{name} t"))
            for name in ("job", "envelope_backup")
        ]
    return calls, stored, more, kept, len(ground.providers.calls())
