"""Checks in the sandbox itself whether the game's ends are reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.practice.game_day.scenario import End, Scenario
from console.sandbox import access_keys
from console.sandbox.stored_values import envelopes, read_all, seal_mark
from crypto_core.envelope import Envelope, open_envelope
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import KeydeckError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

if TYPE_CHECKING:
    from console.practice.game_day.intruder import Intruder
    from console.practice.game_day.stage import GameTokenUse
    from console.sandbox.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class EndSeen:
    """Whether an end is reached. `reached` is None if this sandbox can't tell: not counted."""

    end: End
    reached: bool | None
    words: str


class Referee:
    """Made before the intruder begins: it notes which envelopes are under the key.

    What the generator had damaged must have been mended by then.
    """

    def __init__(self, sandbox: Sandbox, scenario: Scenario, providers: GameTokenUse) -> None:
        """Raises DatabaseError."""
        self._sandbox = sandbox
        self._scenario = scenario
        self._providers = providers
        world = sandbox.world
        self._key = world.current_key.arn
        self._database_url = sandbox.platform_database_url
        self._sound: frozenset[TokenRef] = frozenset(
            {*world.sealed_under(world.current_key), *world.sealed_under(world.old_key), *world.corrupt}
        )
        """The tokens that open when the game begins: all that are sealed."""
        under = frozenset(world.sealed_under(world.current_key))
        self._prefixes = frozenset(
            envelope.edk_prefix
            for ref, envelope in self._sealed().items()
            if ref in under and envelope.edk_prefix
        )
        self._deleted = frozenset(self._waiting())
        self._looks: dict[End, Callable[[Intruder], tuple[bool | None, str]]] = {
            End.SHUT_OUT: self._shut_out,
            End.NOTHING_UNDER_KEY: self._nothing_under_key,
            End.KEY_DISABLED: self._key_disabled,
            End.KEY_USABLE: self._key_usable,
            End.PLATFORM_WORKS: self._platform_works,
            End.NOTHING_DELETED: self._nothing_deleted,
            End.TOKENS_OPEN: self._tokens_open,
            End.TOKENS_SEALED_ANEW: self._tokens_sealed_anew,
            End.TOKENS_REPLACED: self._tokens_replaced,
            End.TOKENS_DEAD: self._tokens_dead,
        }

    def look_at_all(self, intruder: Intruder) -> tuple[EndSeen, ...]:
        """Return every end of the scenario. What can't be looked at is not reached.

        The intruder must have been stopped. It tries its ways once more, after everything else was looked at:
        where it is let in, that attempt may change something.
        """
        seen: dict[End, EndSeen] = {
            end: self.look_at(end, intruder) for end in self._scenario.ends if end is not End.SHUT_OUT
        }
        if End.SHUT_OUT in self._scenario.ends:
            seen[End.SHUT_OUT] = self.look_at(End.SHUT_OUT, intruder)
        return tuple(seen[end] for end in self._scenario.ends)

    def look_at(self, end: End, intruder: Intruder) -> EndSeen:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            reached, words = self._looks[end](intruder)
        except KeydeckError as error:
            return EndSeen(end, False, f"could not be looked at: {error.message}")
        except (BotoCoreError, ClientError) as error:
            return EndSeen(end, False, f"could not be looked at: {clean(error, 200)}")
        return EndSeen(end, reached, words)

    def stores(self, ref: TokenRef, token: Secret) -> bool:
        """Return whether a token is what is stored, sealed, for a connection. Raises KeydeckError."""
        envelope = self._sealed().get(ref)
        if envelope is None:
            return False
        with self._opened(self._sandbox.client("kms", access_keys.PLATFORM), ref, envelope) as stored:
            return stored == token

    def _sealed(self) -> dict[TokenRef, Envelope]:
        return dict(envelopes(read_all(self._database_url)))

    def _shut_out(self, intruder: Intruder) -> tuple[bool, str]:
        let_in = intruder.try_every_way()
        if let_in is None:
            return False, "whether the intruder is shut out could not be tried"
        return not let_in, "the intruder still gets in" if let_in else "every way of the intruder is refused"

    def _nothing_under_key(self, _: Intruder) -> tuple[bool, str]:
        left = sum(
            envelope.edk_prefix in self._prefixes for _, envelope in envelopes(read_all(self._database_url))
        )
        return not left, f"{counted(left, 'token')} under the compromised key"

    def _key_disabled(self, _: Intruder) -> tuple[bool, str]:
        state = self._state()
        return state in ("Disabled", "PendingDeletion"), f"the compromised key is {state}"

    def _key_usable(self, _: Intruder) -> tuple[bool, str]:
        state = self._state()
        return state == "Enabled", f"the key is {state}"

    def _platform_works(self, _: Intruder) -> tuple[bool, str]:
        """The platform writes under the key that most tokens are under, and opens what it wrote."""
        kms = self._sandbox.client("kms", access_keys.PLATFORM)
        asks = self._sandbox.client("kms", access_keys.DEPLOYMENT)
        sealed = self._sealed().values()
        blobs = {one.edk_prefix: one.encrypted_data_key for one in sealed}
        counts = Counter(one.edk_prefix for one in sealed)
        ((prefix, _number),) = counts.most_common(1)
        try:
            key = kms.decrypt(CiphertextBlob=blobs[prefix])["KeyId"]
            made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
            kms.decrypt(CiphertextBlob=made["CiphertextBlob"])
        except asks.exceptions.ClientError as error:
            return False, f"the platform can't work: {clean(error, 200)}"
        return True, "the platform reads and writes"

    def _nothing_deleted(self, _: Intruder) -> tuple[bool, str]:
        waiting = frozenset(self._waiting()) - self._deleted
        return not waiting, f"{counted(len(waiting), 'key')} more than before wait for deletion"

    def _waiting(self) -> Iterator[str]:
        states = self._sandbox.control.key_states()
        return (arn for arn, state in states.items() if state == "PendingDeletion")

    def _tokens_open(self, _: Intruder) -> tuple[bool, str]:
        """Every sound token is opened, by the platform: that is what must work when all is over."""
        now = self._sealed()
        kms = self._sandbox.client("kms", access_keys.PLATFORM)
        closed = [ref for ref in sorted(self._sound) if ref not in now or not self._opens(kms, ref, now[ref])]
        if not closed:
            return True, f"all {counted(len(self._sound), 'sound token')} open"
        return False, f"{len(closed):,} of {counted(len(self._sound), 'sound token')} don't open"

    def _opens(self, kms: Any, ref: TokenRef, envelope: Envelope) -> bool:
        try:
            self._opened(kms, ref, envelope).wipe()
        except KeydeckError:
            return False
        return True

    def _opened(self, kms: Any, ref: TokenRef, envelope: Envelope) -> Secret:
        """Open a token as the platform does. Raises EnvelopeError, NotOpenedError."""
        from botocore.exceptions import ClientError

        context = dict(envelope.opening_context(ref, envelope.named_database))
        try:
            answer = kms.decrypt(CiphertextBlob=envelope.encrypted_data_key, EncryptionContext=context)
        except ClientError as error:
            raise NotOpenedError(f"{ref} can't be opened: {clean(error, 200)}") from error
        with DataKey(answer["Plaintext"]) as data_key:
            return open_envelope(envelope, data_key, ref, envelope.named_database)

    def _tokens_sealed_anew(self, intruder: Intruder) -> tuple[bool, str]:
        now = self._sealed()
        left = [
            ref for ref, marks in intruder.seals.copy().items() if ref in now and seal_mark(now[ref]) in marks
        ]
        total = counted(len(intruder.seals), "token")
        return not left, f"{len(left):,} of {total} that were opened are stored as they were"

    def _tokens_replaced(self, intruder: Intruder) -> tuple[bool, str]:
        stored = {one.ref: one for one in read_all(self._database_url)}
        kms = self._sandbox.client("kms", access_keys.PLATFORM)
        left = [
            ref for ref in intruder.tokens if ref in stored and not self._replaced(kms, ref, stored, intruder)
        ]
        total = counted(len(intruder.tokens), "token")
        return not left, f"{len(left):,} of {total} that were stolen are still stored, or stored unprotected"

    def _replaced(self, kms: Any, ref: TokenRef, stored: dict[TokenRef, Any], intruder: Intruder) -> bool:
        envelope = stored[ref].envelope
        if envelope is None:
            return False
        with self._opened(kms, ref, envelope) as token:
            return token not in intruder.tokens[ref]

    def _tokens_dead(self, intruder: Intruder) -> tuple[bool | None, str]:
        answers = [
            answer
            for ref, tokens in intruder.tokens.copy().items()
            for token in tokens
            if (answer := self._providers.takes(ref, token)) is not None
        ]
        if not answers:
            return None, "this sandbox has no providers to confirm that the stolen tokens are dead"
        alive = sum(answers)
        return (
            not alive,
            f"{alive:,} of {counted(len(answers), 'stolen token')} still work at their providers",
        )

    def _state(self) -> str:
        return self._sandbox.control.key_states()[self._key]


class NotOpenedError(KeydeckError):
    """A token that the platform can't open."""
