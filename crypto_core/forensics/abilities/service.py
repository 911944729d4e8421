"""What screens, commands and incidents call: asks providers what tokens can do, and keeps the answers.

They are kept on the operator's machine, in a file that only they read.
"""

from __future__ import annotations

import hmac
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event, Lock

from crypto_core.database.tokens.store import StoredToken
from crypto_core.guard.consent import Consent, require
from crypto_core.lists.own_file import make_own
from crypto_core.providers.abilities import Ability, AbilityDraft, NotKnown, TokenAbilities, ask_further
from crypto_core.providers.answers import ByHand, Liveness, LivenessRequest, Progress
from crypto_core.providers.liveness_checks import BusyHosts, asked_of
from crypto_core.providers.messages import Target
from crypto_core.providers.registry import provider_of
from crypto_core.providers.revocation import asked_digest
from crypto_core.providers.token_dispatch import TokenAsking, hosts
from crypto_core.providers.transport import Clock, Transport
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import AbilityBookError, NotConfirmedError
from crypto_core.values.json_records import record_of
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

ABOUT = "abilities"
"""Tells a consent to these questions from one to ask whether tokens are alive."""
FRESH = timedelta(hours=24)
"""An answer that is younger is not asked for again, unless another age is named."""
_MOST_BYTES = 2 * 1024 * 1024
"""A page of a hundred repositories takes most of a megabyte."""
_BOOK_VERSION = 1
_WAIT_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE answer (
    reference TEXT PRIMARY KEY,
    stored TEXT NOT NULL,
    token TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE TABLE marking (key BLOB NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbilityRequest(LivenessRequest):
    """Questions about what tokens can do. `fresh` are answers that are young enough."""

    fresh: tuple[TokenAbilities, ...] = ()

    def does(self) -> tuple[str, ...]:
        where = ", ".join(clean(host, 200) for host in self.endpoints) or "nowhere"
        lines = [
            f"Opens {counted(len(self.tokens), 'token')} and sends each to its own provider alone: {where}.",
            "Asks only calls that read: scopes, organisations, how many repositories, sites or spaces.",
        ]
        if self.fresh:
            lines.append(f"{counted(len(self.fresh), 'answer')} young enough: not asked again.")
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class AbilityAnswers:
    """The answers that came of a run, the young ones among them, in order of reference."""

    answers: tuple[TokenAbilities, ...]
    not_asked: tuple[ByHand, ...] = ()

    @property
    def unanswered(self) -> tuple[TokenAbilities, ...]:
        """Those of which not even whether they are alive is known, or not everything could be asked."""
        return tuple(one for one in self.answers if one.liveness is Liveness.UNKNOWN or not one.whole)


class AbilityBook:
    """Keeps the last answer about each token. Thread-safe; the file is made when something is first kept.

    It is not in the database: whoever steals that would read there which tokens are worth most. Each answer
    has a mark of the stored value that it is about, so it is never shown for a token that took its place.
    Every call raises AbilityBookError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._key: bytes | None = None

    def mark_of_stored(self, digest: bytes) -> str:
        if self._key is None:
            with self._opened() as connection:
                (self._key,) = connection.execute("SELECT key FROM marking").fetchone()
        return hmac.digest(self._key, b"stored\x00" + digest, "sha256").hex()[:32]

    def keep(self, abilities: TokenAbilities, stored: str) -> None:
        document = json.dumps(abilities.as_json(), allow_nan=False)
        with self._opened() as connection:
            connection.execute(
                "INSERT INTO answer (reference, stored, token, document) VALUES (?, ?, '', ?) "
                "ON CONFLICT (reference) DO UPDATE SET stored = excluded.stored, token = excluded.token, "
                "document = excluded.document",
                (_name(abilities.ref), stored, document),
            )

    def kept(self, refs: Iterable[TokenRef]) -> dict[TokenRef, tuple[TokenAbilities, str]]:
        """Return the last answers about some tokens, and the marks of the values that they were about."""
        if not self.path.exists():
            return {}
        names = {_name(ref): ref for ref in refs}
        found: dict[TokenRef, tuple[TokenAbilities, str]] = {}
        with self._opened() as connection:
            rows = connection.execute(
                "SELECT reference, stored, document FROM answer "
                "WHERE reference IN (SELECT value FROM json_each(?))",
                (json.dumps(list(names)),),
            )
            for name, stored, document in rows:
                if (abilities := _read_answer(names[name], document)) is not None:
                    found[names[name]] = abilities, stored
        return found

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Give a connection; what was written is kept at the end, or nothing."""
        try:
            with self._lock:
                if not make_own(self.path):
                    raise AbilityBookError(f"{clean(self.path)} is not a plain file of yours.")
                address = f"{self.path.absolute().as_uri()}?mode=rw"
                with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS)) as connection:
                    connection.execute("PRAGMA trusted_schema = OFF")
                    _prepare(connection)
                    with connection:
                        yield connection
        except (sqlite3.Error, OSError) as error:
            raise AbilityBookError(f"The answers in {clean(self.path)}: {clean(error, 200)}.") from error


def _prepare(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == _BOOK_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _BOOK_VERSION:
        raise AbilityBookError("The answers were written by a newer Keydeck.", remedy="Upgrade Keydeck.")
    if version < _BOOK_VERSION:
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute("INSERT INTO marking (key) VALUES (?)", (os.urandom(32),))
        connection.execute(f"PRAGMA user_version = {_BOOK_VERSION}")
    connection.commit()


def _name(ref: TokenRef) -> str:
    """A reference's name in the file; by its parts, which no other reference has."""
    return json.dumps([ref.table, ref.column, ref.row_id, ref.member])


def _read_answer(ref: TokenRef, document: str) -> TokenAbilities | None:
    """The answer of a row; None for one that can't be read, which counts as none."""
    try:
        return record_of(TokenAbilities, json.loads(document), ref=ref)
    except (ValueError, RecursionError):
        return None


class AbilityService:
    """Asks about tokens, and remembers. Blocks on SQL, KMS and the providers: call it from a worker."""

    missing = ""
    """What tokens can do is known here: see KnownAbilities."""

    def __init__(self, asking: TokenAsking, book: AbilityBook, *, clock: Clock | None = None) -> None:
        self._asking = asking
        self._book = book
        self._clock = clock or Clock()

    def question(self, refs: Sequence[TokenRef], *, max_age: timedelta = FRESH) -> AbilityRequest:
        """Return whom the questions would go to. Sends nothing and opens nothing.

        Tokens about which there is a whole answer younger than `max_age` are left out. Raises
        InvalidReferenceError, RowVanishedError, DatabaseError, AbilityBookError.
        """
        found = self._asking.planned(refs)
        known = self.kept([target.ref for target in found.asked])
        since = self._clock.now() - max_age
        fresh = {ref: one for ref, one in known.items() if one.whole and one.at > since}
        asked = [target for target in found.asked if target.ref not in fresh]
        tokens, endpoints = tuple(target.ref for target in asked), hosts(asked)
        digest, young = asked_digest(tokens, endpoints, ABOUT), tuple(fresh[ref] for ref in sorted(fresh))
        return AbilityRequest(tokens, endpoints, digest, found.not_asked, fresh=young)

    def ask(
        self,
        request: AbilityRequest,
        consent: Consent | None,
        *,
        progress: Progress | None = None,
        cancelled: Event | None = None,
    ) -> AbilityAnswers:
        """Ask each token's provider what it can do; each answer is kept as it comes.

        So a run that was stopped goes on where it was. A token is sent to no host that was not agreed to.
        Raises NotConfirmedError, InterruptedRunError, DatabaseError, AbilityBookError, KmsError if no token
        can be opened now, ProviderError if nothing can be sent at all.
        """
        require(consent, request)
        if request.digest != asked_digest(request.tokens, request.endpoints, ABOUT):
            raise NotConfirmedError("The confirmation was given for a different question.")
        answers: dict[TokenRef, TokenAbilities] = {}
        lock, busy = Lock(), BusyHosts()

        def asked(target: Target, token: Secret, stored: StoredToken) -> None:
            answer = self._ask_one(transport, target, token, busy, cancelled)
            if answer.liveness is not Liveness.UNKNOWN:
                # Nobody's silence takes back what was said before.
                self._book.keep(answer, self._book.mark_of_stored(stored.digest))
            with lock:
                answers[target.ref] = answer

        def not_asked(ref: TokenRef, provider: str, why: str) -> None:
            with lock:
                answers[ref] = self._unanswered(ref, provider, why)

        with Transport(self._clock, most_bytes=_MOST_BYTES) as transport:
            self._asking.each_opened(
                request.tokens, request.endpoints, asked, not_asked, progress=progress, cancelled=cancelled
            )
        whole = answers | {one.ref: one for one in request.fresh}
        return AbilityAnswers(tuple(whole[ref] for ref in sorted(whole)), request.not_asked)

    def already(self, request: AbilityRequest) -> AbilityAnswers:
        return AbilityAnswers(request.fresh, request.not_asked)

    def kept(self, refs: Sequence[TokenRef]) -> Mapping[TokenRef, TokenAbilities]:
        """Return the last answers about the values that are stored now; opens nothing.

        An answer about a value that was replaced or re-encrypted since is not among them. Raises
        DatabaseError, AbilityBookError.
        """
        known = self._book.kept(refs)
        if not known:
            return {}
        return {
            token.ref: known[token.ref][0]
            for token in self._asking.store.read_many(list(known))
            if known[token.ref][1] == self._book.mark_of_stored(token.digest)
        }

    def _ask_one(
        self, transport: Transport, target: Target, token: Secret, busy: BusyHosts, cancelled: Event | None
    ) -> TokenAbilities:
        said, reply = asked_of(transport, target, token, cancelled, busy)
        if reply is None or said.liveness is Liveness.UNKNOWN:
            return self._unanswered(target.ref, target.provider, said.reason)
        provider = provider_of(target)
        draft = AbilityDraft(target, token.reveal(), self._clock.now())
        if said.liveness is Liveness.ALIVE:
            if provider.abilities is None:
                draft.miss("Keydeck knows no way to ask this provider", *Ability)
            else:
                provider.abilities.first(draft, reply)
                draft.exhausted = provider.abilities.exhausted(reply)
                ask_further(provider.abilities, draft, lambda more: transport.send(more, cancelled))
        return draft.finished(said)

    def _unanswered(self, ref: TokenRef, provider: str, why: str) -> TokenAbilities:
        return TokenAbilities(
            ref,
            clean(provider, 100),
            self._clock.now(),
            Liveness.UNKNOWN,
            clean(why),
            not_known=tuple(NotKnown(one, "no answer") for one in Ability),
            whole=False,
        )
