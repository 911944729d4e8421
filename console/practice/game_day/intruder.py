"""The intruder: plays its moves, then goes on with what it is after until every way in is refused.

It runs in a thread of its own beside the console. What it opens stays inside `Secret`, and only where the
story needs it: to use the tokens, and to tell afterwards whether they were replaced.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from console.practice.game_day.deeds import CallOutcome, Deed, Deeds
from console.practice.game_day.scenario import Act, Move, Persona, Scenario
from console.sandbox.stored_values import Stored, seal_mark
from crypto_core.envelope import Envelope, open_envelope
from crypto_core.values.errors import DatabaseError, EnvelopeError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

if TYPE_CHECKING:
    from console.practice.game_day.stage import Stage

REFUSED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "DisabledException",
        "ExpiredTokenException",
        "IncorrectKeyException",
        "InvalidCiphertextException",
        "KMSInvalidStateException",
        "NotFoundException",
    }
)
"""Answers that say no. Everything else that fails may succeed a moment later."""
_TAKING_AWAY = ("disable_key", "schedule_key_deletion")
PATIENCE = 3
"""After so many rounds in which all was refused it gives up."""
A_ROUND = 3
"""Tokens that it tries to open in one round through one identity."""
WINDOW_DAYS = 7
"""The shortest time after which KMS deletes a key."""


class Intruder:
    """One intruder. `start` lets it begin, `stop` ends it; `deeds` is what it did."""

    def __init__(
        self,
        scenario: Scenario,
        stage: Stage,
        *,
        pace: float = 1.0,
        seed: int = 7,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`pace` is how many times faster than the script it moves; `seed` decides which tokens it takes."""
        self.deeds = Deeds()
        self.played = threading.Event()
        """Set once its moves are made and it only goes on with what it is after."""
        self.gave_up = threading.Event()
        self.seals: dict[TokenRef, set[bytes]] = {}
        """The sealings that it opened, by `seal_mark`."""
        self.tokens: dict[TokenRef, list[Secret]] = {}
        """What it keeps, where the story lets it keep tokens."""
        self._scenario = scenario
        self._stage = stage
        self._pace = pace
        self._draw = random.Random(f"{seed}/intruder")  # noqa: S311  a story, nothing secret
        self._now = now
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._ways = [scenario.moves[0].by] if scenario.moves else []
        self._organisation = ""
        self._stolen: list[Stored] = []

    def start(self, delay: float = 0.0) -> None:
        """Begin in the background, `delay` seconds of the script from now."""
        self._thread = threading.Thread(target=self._play, args=(delay,), name="intruder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it and wait until it has; safe to call twice."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(30)

    def try_every_way(self) -> bool | None:
        """Try once more, now, through every identity: True if one is let in, False if all are refused.

        None if something could not be tried. To be called after `stop`.
        """
        came = [came for way in self._ways for came in self._round(self._scenario.persona(way))]
        if CallOutcome.DONE in came:
            return True
        return None if CallOutcome.LOST in came or not came else False

    def _play(self, delay: float) -> None:
        at = -delay
        for move in self._scenario.moves:
            if self._waits(move.at - at):
                return
            at = move.at
            self._make(move)
            at += move.every * move.times
        self.played.set()
        refused = 0
        while refused < PATIENCE:
            if self._waits(self._scenario.again):
                return
            came = self._go_on()
            refused = (
                refused + 1 if came is CallOutcome.REFUSED else refused if came is CallOutcome.LOST else 0
            )
        self.gave_up.set()

    def _waits(self, seconds: float) -> bool:
        """Wait so many seconds of the script; True if it was stopped meanwhile."""
        return self._stopped.wait(max(0.0, seconds) / self._pace)

    def _go_on(self) -> CallOutcome:
        """Try its ways one after another until one is let in."""
        lost = False
        for way in tuple(self._ways):
            came = list(self._round(self._scenario.persona(way)))
            if CallOutcome.DONE in came:
                return CallOutcome.DONE
            lost = lost or CallOutcome.LOST in came
        return CallOutcome.LOST if lost else CallOutcome.REFUSED

    def _round(self, persona: Persona) -> Iterator[CallOutcome]:
        for act in self._scenario.aim:
            match act:
                case Act.OPEN:
                    self._read(persona)
                    for stored in self._choose(A_ROUND):
                        yield self._open(persona, stored)
                case Act.USE:
                    came = self._use(persona)
                    if came is not None:
                        yield came
                case _:
                    yield self._note(act, persona, self._call(act, persona, Move(0, act, persona.name)))

    def _make(self, move: Move) -> None:
        persona = self._scenario.persona(move.by)
        chosen = self._choose(move.times) if move.act is Act.OPEN else []
        for number in range(move.times):
            if number and self._waits(move.every):
                return
            match move.act:
                case Act.READ:
                    self._note(Act.READ, persona, self._read(persona))
                case Act.OPEN if chosen:
                    self._open(persona, chosen[number % len(chosen)])
                case Act.OPEN:
                    return  # nothing was to be had in the database
                case Act.USE:
                    self._use(persona)
                case _:
                    came = self._note(move.act, persona, self._call(move.act, persona, move))
                    if move.act is Act.GRANT and came is CallOutcome.DONE and move.to not in self._ways:
                        self._ways.append(move.to)

    def _note(
        self, act: Act, persona: Persona, came: CallOutcome, ref: TokenRef | None = None
    ) -> CallOutcome:
        self.deeds.add(Deed(self._now(), act, persona.name, came, ref))
        return came

    def _read(self, persona: Persona) -> CallOutcome:
        """Copy what the database holds. Of a database that it can't reach, it keeps the copy that it has."""
        if not persona.database:
            return CallOutcome.REFUSED
        try:
            stored = [one for one in self._stage.database() if one.envelope is not None]
        except DatabaseError:
            return CallOutcome.LOST
        column = self._scenario.opens_column
        if column:
            stored = [one for one in stored if f"{one.ref.table}.{one.ref.column}" == column]
            if not self._organisation:
                self._organisation = self._largest(stored)
            stored = [one for one in stored if one.organisation == self._organisation]
        known = {(one.ref, seal_mark(one.envelope)) for one in self._stolen if one.envelope}
        fresh = [one for one in stored if one.envelope and (one.ref, seal_mark(one.envelope)) not in known]
        self._draw.shuffle(fresh)
        # What is new is tried first: whether it is let in is told by that as well as by what it stole before.
        self._stolen = [*fresh, *self._stolen]
        return CallOutcome.DONE

    def _largest(self, stored: list[Stored]) -> str:
        """The organisation with the most tokens that open under the key."""
        counts: dict[str, int] = {}
        for one in stored:
            counts[one.organisation] = counts.get(one.organisation, 0) + 1
        return max(sorted(counts), key=lambda name: counts[name], default="")

    def _choose(self, number: int) -> list[Stored]:
        """Some of what it stole: the newest, and, from the other end, what it stole first."""
        if len(self._stolen) <= number:
            return list(self._stolen)
        old = number // 2
        return [*self._stolen[: number - old], *(self._stolen[-old:] if old else ())]

    def _open(self, persona: Persona, stored: Stored) -> CallOutcome:
        envelope = stored.envelope
        if envelope is None:
            return CallOutcome.LOST
        parameters: dict[str, Any] = {"CiphertextBlob": envelope.encrypted_data_key}
        context = dict(envelope.opening_context(stored.ref, envelope.named_database))
        if context:
            parameters["EncryptionContext"] = context
        came, answer = self._ask(persona, "kms", "decrypt", parameters)
        if came is CallOutcome.DONE:
            self._keep(stored.ref, envelope, answer)
        return self._note(Act.OPEN, persona, came, stored.ref)

    def _keep(self, ref: TokenRef, envelope: Envelope, answer: dict[str, Any]) -> None:
        try:
            with DataKey(answer["Plaintext"]) as data_key:
                token = open_envelope(envelope, data_key, ref, envelope.named_database)
        except EnvelopeError:
            return  # a damaged envelope: its data key opens nothing
        self.seals.setdefault(ref, set()).add(seal_mark(envelope))
        if not self._scenario.keeps_tokens:
            token.wipe()
            return
        kept = self.tokens.setdefault(ref, [])
        if token not in kept:
            kept.append(token)

    def _use(self, persona: Persona) -> CallOutcome | None:
        """Try the tokens that it keeps, the last of each connection, until one works at its provider.

        None if it has none, or nobody says whether they work.
        """
        said = [
            taken
            for ref, tokens in sorted(self.tokens.items())
            if (taken := self._stage.providers.takes(ref, tokens[-1])) is not None
        ]
        if not said:
            return None
        return self._note(Act.USE, persona, CallOutcome.DONE if any(said) else CallOutcome.REFUSED)

    def _call(self, act: Act, persona: Persona, move: Move) -> CallOutcome:
        key = {"KeyId": self._stage.key_arn}

        def kms(operation: str, **more: Any) -> CallOutcome:
            return self._ask(persona, "kms", operation, {**key, **more})[0]

        match act:
            case Act.LOOK:
                came = [self._ask(persona, "kms", name, {})[0] for name in ("list_keys", "list_aliases")]
                came += [kms("describe_key"), kms("list_grants")]
                return CallOutcome.DONE if CallOutcome.DONE in came else came[0]
            case Act.SEAL:
                return kms("generate_data_key", KeySpec="AES_256")
            case Act.GRANT:
                grantee = self._scenario.persona(move.to).arn
                may = ["Decrypt", "DescribeKey"]
                return kms("create_grant", GranteePrincipal=grantee, Operations=may, Name="metrics")
            case Act.LET_IN:
                return self._let_in(persona, key)
            case Act.BLIND:
                return self._ask(persona, "cloudtrail", "stop_logging", {"Name": self._stage.trail})[0]
            case Act.DISABLE:
                return kms("disable_key")
            case Act.DELETE:
                return kms("schedule_key_deletion", PendingWindowInDays=WINDOW_DAYS)
            case Act.READ | Act.OPEN | Act.USE:
                return CallOutcome.LOST

    def _let_in(self, persona: Persona, key: dict[str, str]) -> CallOutcome:
        came, answer = self._ask(persona, "kms", "get_key_policy", {**key, "PolicyName": "default"})
        if came is not CallOutcome.DONE:
            return came
        policy = json.loads(answer["Policy"])
        who = {"AWS": persona.arn}
        policy["Statement"].append(
            {"Sid": "Maintenance", "Effect": "Allow", "Principal": who, "Action": "kms:*", "Resource": "*"}
        )
        wanted = {**key, "PolicyName": "default", "Policy": json.dumps(policy)}
        return self._ask(persona, "kms", "put_key_policy", wanted)[0]

    def _ask(
        self, persona: Persona, service: str, operation: str, parameters: dict[str, Any]
    ) -> tuple[CallOutcome, dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            client = self._clients.get((service, persona.access_key))
            if client is None:
                client = self._stage.client(service, persona)
                self._clients[service, persona.access_key] = client
            return CallOutcome.DONE, getattr(client, operation)(**parameters)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            # To take a key away that is gone already is no refusal: it will be tried again.
            gone = code == "KMSInvalidStateException" and operation in _TAKING_AWAY
            return (CallOutcome.REFUSED if code in REFUSED and not gone else CallOutcome.LOST), {}
        except BotoCoreError:
            return CallOutcome.LOST, {}
