"""What the scripted responder does to reach each end: by the services that the console works with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from console.container import Container
from console.game_day.scenario import End
from console.host.runners import GRACE_SECONDS
from console.lazy_services import if_made
from console.sandbox.endpoint import ACCOUNT
from console.sandbox.endpoint.principals import VPC_ENDPOINT
from console.settings import load
from crypto_core.errors import KeydeckError
from crypto_core.guard.consent import Consent, Danger, Subject
from crypto_core.key_names import short_key
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.keys.changes.plan import ChangeResult
from crypto_core.keys.policy.blocking import BlockStatement, with_blocks
from crypto_core.keys.policy.document import parse_policy
from crypto_core.keys.policy.least_privilege import Role, least_privilege
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.text.counting import counted

if TYPE_CHECKING:
    from console.game_day.game import Game
    from console.game_day.platform_part import PlatformPart

NEW_ALIAS = "alias/tokens-after-the-game"
ROLES = {
    Role.ADMINISTRATOR: (f"arn:aws:iam::{ACCOUNT}:role/keydeck-deployment",),
    Role.PLATFORM: (f"arn:aws:iam::{ACCOUNT}:role/keydeck-platform",),
    Role.RESPONDER: (f"arn:aws:iam::{ACCOUNT}:role/keydeck-oncall",),
}
"""Whom keys are for. The account as a whole is not among them: its IAM policies let the intruder in."""

PLATFORM_AT_HOME = BlockStatement(ROLES[Role.PLATFORM][0], (VPC_ENDPOINT,))


class MeasureFailedError(KeydeckError):
    """A measure had not the effect that it must have."""


def agreed(plan: Subject) -> Consent:
    """Return a consent to a plan, in the way that its danger demands."""
    return Consent.typed(plan, plan.confirmation) if plan.danger is Danger.TYPED else Consent.pressed(plan)


def change_key(container: Container, change: KeyChange, losing: int | None = None) -> ChangeResult:
    """Plan a change, agree to it, make it and read it back. Raises KeydeckError.

    With `losing` it costs so many tokens at most.
    """
    plan = container.services.key_changes.plan_change(change)
    lost = plan.tokens.at_most_known if plan.tokens is not None else 0
    if losing is not None and lost > losing:
        raise MeasureFailedError(f"{plan.title}: {counted(lost, 'token')} would be lost.")
    result = container.services.key_changes.make_change(plan, agreed(plan))
    if not result.verified:
        why = result.stopped_by or result.unverified or "its effect could not be confirmed"
        raise MeasureFailedError(f"{plan.title}: {why}")
    return result


class Measures:
    """Takes measures. `container` are the services, which change when the platform's key does."""

    def __init__(self, game: Game, platform: PlatformPart, tell: Callable[[str], None]) -> None:
        self.container: Container = Container(load().settings)
        self.new_key = ""
        self._game = game
        self._platform = platform
        self._tell = tell
        self._key = game.sandbox.world.current_key.arn
        self._by_end: dict[End, Callable[[], None]] = {
            End.SHUT_OUT: self._shut_out,
            End.NOTHING_UNDER_KEY: self._move_everything,
            End.KEY_DISABLED: self._disable,
            End.KEY_USABLE: self._make_usable,
            End.PLATFORM_WORKS: lambda: None,
            End.NOTHING_DELETED: lambda: None,
            End.TOKENS_OPEN: self._verify,
            End.TOKENS_SEALED_ANEW: self._seal_anew,
            End.TOKENS_REPLACED: self._replace,
            End.TOKENS_DEAD: self.revoke_by_hand,
        }

    def close(self) -> None:
        _leave(self.container)

    def reach(self, end: End) -> None:
        """Do what reaches an end; what is done already is left alone. Raises KeydeckError."""
        self._by_end[end]()

    def write_under(self, key_arn: str) -> None:
        """Switch the platform, and the services with it, to another key."""
        self.new_key = key_arn
        trusted = tuple(dict.fromkeys((*self.container.settings.trusted_keys, self._key)))
        _leave(self.container)
        self.container = Container(load({"write_key": key_arn, "trusted_keys": trusted}).settings)
        self._platform.writes_under(key_arn)

    def _shut_out(self) -> None:
        """Leave the platform, the responder and the administrator in the key's policy, and no grant.

        The platform from its own network alone: somebody else may have its credentials.
        """
        policy = parse_policy(json.dumps(least_privilege(self._key, ROLES)))
        text = json.dumps(with_blocks(policy, [PLATFORM_AT_HOME]))
        self._change(KeyChange(ChangeKind.PUT_POLICY, self._key, policy=text))
        for grant in self.container.services.policies.read(self._key).grants:
            self._change(KeyChange(ChangeKind.REVOKE_GRANT, self._key, grant_id=grant.grant_id))

    def _move_everything(self) -> None:
        if self._game.referee.look_at(End.NOTHING_UNDER_KEY, self._game.intruder).reached:
            return
        if not self.new_key:
            change = KeyChange(
                ChangeKind.CREATE,
                alias=NEW_ALIAS,
                period_days=365,
                principals=ROLES,
                blocks=(PLATFORM_AT_HOME,),
            )
            self.write_under(self._change(change))
        if self._left():
            self._write(Verb.REENCRYPT, Selection(under_key=self._key), self.new_key)
        if left := self._left():
            raise MeasureFailedError(f"{counted(left, 'token')} still under the compromised key.")

    def _left(self) -> int:
        return self.container.status.prove(about=self._key).tokens_under(self._key)

    def _disable(self) -> None:
        if str(self.container.services.keys.show(self._key).state) == "PendingDeletion":
            return
        self._change(KeyChange(ChangeKind.DISABLE, self._key))

    def _make_usable(self) -> None:
        if str(self.container.services.keys.show(self._key).state) == "PendingDeletion":
            self._change(KeyChange(ChangeKind.CANCEL_DELETION, self._key))
        self._change(KeyChange(ChangeKind.ENABLE, self._key))

    def _verify(self) -> None:
        results = self.container.services.work.verify_tokens(Selection(everything=True))
        open_ = sum(one.opened for one in results)
        self._tell(f"{open_:,} of {counted(len(results), 'envelope')} open.")
        closed = [one for one in results if not one.opened and one.ref in self._game.referee.sound]
        if closed:
            raise MeasureFailedError(f"{closed[0].ref} does not open: {closed[0].reason}")

    def revoke_by_hand(self) -> None:
        """Let the owners revoke, at the providers, what the intruder holds."""
        held = [token for tokens in self._game.intruder.tokens.copy().values() for token in tokens]
        revoked = self._platform.revoke_by_hand(held)
        if revoked:
            self._tell(f"{counted(revoked, 'token')} revoked by hand at their providers.")

    def _seal_anew(self) -> None:
        refs = tuple(sorted(self._game.intruder.seals))
        done = self._game.referee.look_at(End.TOKENS_SEALED_ANEW, self._game.intruder).reached
        if refs and not done:
            target = self.container.settings.write_key or self._key
            self._write(Verb.REENCRYPT, Selection(references=refs), target)

    def _replace(self) -> None:
        if self._game.referee.look_at(End.TOKENS_REPLACED, self._game.intruder).reached:
            return
        refs = sorted(self._game.intruder.tokens)
        written = self._platform.reconnect(refs, self.container.keyring)
        self._tell(f"{counted(written, 'token')} reissued: their owners connected again.")

    def _change(self, change: KeyChange) -> str:
        """Plan, agree, do, and see the effect; returns the key's ARN. Raises KeydeckError."""
        result = change_key(self.container, change)
        if not result.plan.changes_nothing:
            name = short_key(result.key_arn or result.plan.key_arn)
            self._tell(f"{result.plan.title} ({name}): done, and read back.")
        return result.key_arn

    def _write(self, verb: Verb, selection: Selection, target: str) -> None:
        work = self.container.services.work
        plan = work.plan_reencryption(verb, selection, target)
        result = work.run_plan(plan, agreed(plan))
        if result.stopped_by:
            raise MeasureFailedError(f"{verb.words}: {result.stopped_by}")
        self._tell(f"{verb.words} {selection}: {counted(result.done, 'token')}.")


def _leave(container: Container) -> None:
    """End the processes that steps have started, which are through with their jobs, and the connections."""
    processes = if_made(container.job_processes)
    if processes is not None:
        processes.leave()
        processes.wait(GRACE_SECONDS)
    container.close()
