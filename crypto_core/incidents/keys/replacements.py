"""Before an incident takes its key away, KMS opens every token that was moved to other keys.

While the old key can be used, a replaced envelope can be restored; afterwards it can't. So what took its
place has to open first. Which keys that concerns is read from the incident's values and jobs, and from its
evidence, whose hashes the journal has; which tokens are under them, from a fresh proof; whether they open,
KMS says now. No remembered answer counts: whoever can write to Keydeck's tables can't have it pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crypto_core.database.tokens.fresh_proof import FreshProof
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import ENVELOPE_FORMATS
from crypto_core.incidents.keys.subject import ENCRYPT_JOB, JOB, new_key, old_key
from crypto_core.incidents.model import Incident
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps.step_contracts import Captured, Progress, Situation
from crypto_core.incidents.tokens.verification_result import Verified, verified_of
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.keys.changes.plan import UNCOUNTED
from crypto_core.reencryption.jobs.model import JobView
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import counted
from crypto_core.values.errors import InterruptedRunError, KeydeckError, UnknownJobError
from crypto_core.values.key_names import same_key
from crypto_core.values.moments import in_utc

_NAMED = 5
_FORMATS = frozenset(ENVELOPE_FORMATS)


@dataclass(frozen=True, slots=True)
class Replacements:
    """The keys that an incident moved tokens to, as names by ARN, and the jobs that did it."""

    keys: Mapping[str, str]
    jobs: tuple[JobView, ...] = ()

    @property
    def moved(self) -> int:
        return sum(view.done for view in self.jobs)

    def __str__(self) -> str:
        return " and ".join(self.keys.values())


@dataclass(frozen=True, slots=True)
@cleans(where=600, trouble=1_000, gaps=1_000)
class OpeningTest:
    """What came of opening all tokens under the keys that replace an incident's key.

    `verified` is None where there was nothing to open; `trouble` says why they can't be called opened, `gaps`
    what is not known of other tokens: with these, taking the key away asks for a number of its own.
    """

    where: str
    keys: tuple[str, ...] = ()
    verified: Verified | None = None
    trouble: str = ""
    gaps: tuple[str, ...] = ()

    @property
    def unopened(self) -> str:
        """What has to be typed to go on all the same: how many did not open; "" if all did."""
        if self.trouble:
            return UNCOUNTED
        return str(self.verified.failed) if self.verified is not None and self.verified.failed else ""

    @property
    def lines(self) -> tuple[str, ...]:
        if self.trouble:
            return (f"Not all tokens under {self.where} were opened: {self.trouble}",)
        if not self.keys:
            return ("The incident has moved no token to another key: there was nothing to open.",)
        found = self.verified
        gaps = tuple(f"Not known: {gap}" for gap in self.gaps)
        if found is None:
            return (f"No token is under {self.where}: there was nothing to open.", *gaps)
        tokens = counted(found.tried, "token")
        if not found.failed:
            took = f"{in_utc(found.began_at)}, in {found.seconds:,.1f} s"
            return (f"KMS opened all of {tokens} under {self.where}: {took}.", *gaps)
        more = found.failed - _NAMED
        return (
            f"{found.failed:,} of {tokens} under {self.where} did not open:",
            *(f"{reference}: {reason}" for reference, reason in found.examples[:_NAMED]),
            *((f"and {more:,} more",) if more > 0 else ()),
        )

    @property
    def remedy(self) -> tuple[str, ...]:
        """How to go on where not all opened."""
        again = "Run the step again: all are opened anew, or you may choose to give up what does not open."
        if self.verified is None:
            return ("The key was left as it is.", again)
        named = " ".join(reference for reference, _ in self.verified.examples[:_NAMED])
        restore = "The key was left as it is: with it the replaced envelopes can be restored."
        return (restore, f"keydeck backups restore {named}", again)

    @property
    def evidence(self) -> tuple[Captured, ...]:
        """The opening as a piece of evidence; none where nothing was moved."""
        if not self.keys:
            return ()
        found = self.verified
        if self.trouble:
            title = f"Tokens under {self.where}: not opened"
        elif found is None:
            title = f"No token is under {self.where}"
        else:
            title = f"{found.opened:,} of {counted(found.tried, 'token')} under {self.where} opened"
        content: dict[str, Any] = {
            "before": "the key is taken away",
            "under": list(self.keys),
            "not_known": self.trouble or None,
            "gaps": list(self.gaps),
            **(found.as_json() if found is not None else {"tokens": 0}),
        }
        return (Captured(CaptureKind.VERIFICATION, title, content),)


class ReplacementOpener:
    """Opens what replaces an incident's key. Blocks on KMS and SQL."""

    def __init__(self, services: ToolServices) -> None:
        self._services = services

    def find_replacements(self, situation: Situation) -> Replacements:
        """Return the keys that the incident moved tokens to; the configured one where it names none.

        Raises EvidenceError where the evidence of a job is not what was captured, KmsError, DatabaseError.
        """
        services, incident = self._services, situation.incident
        kept = [json.loads(text) for text in services.evidence(incident.id, CaptureKind.JOB.value)]
        jobs = tuple(self._jobs(incident, kept))
        names = [new_key(situation), *(view.job.target_key_arn for view in jobs)]
        names += [name for one in kept if isinstance(name := one.get("to"), str)]
        found = self._named(situation, names)
        if not found:
            found = self._named(situation, [services.status.keyring.write_key or ""])
        return Replacements(found, jobs)

    def open_replacements(self, situation: Situation, progress: Progress | None) -> OpeningTest:
        """Open every token under these keys, now; trouble is part of it. Raises InterruptedRunError."""
        found = Replacements({})
        try:
            found = self.find_replacements(situation)
            if not found.keys:
                return OpeningTest("")
            return self._opened(situation, found, progress)
        except InterruptedRunError:
            raise
        except KeydeckError as error:
            keys = tuple(found.keys) or ("not known",)
            return OpeningTest(str(found) or "the new key", keys, None, str(error))

    def _opened(self, situation: Situation, found: Replacements, progress: Progress | None) -> OpeningTest:
        services, cancelled = self._services, situation.cancelled
        where, keys = str(found), tuple(found.keys)
        proof = services.status.prove(everywhere=False, cancelled=cancelled)
        if proof.failure is not None:
            return OpeningTest(where, keys, None, str(proof.failure))
        scopes = [proof.scope_under(arn) for arn in keys]
        prefixes = dict.fromkeys(prefix for scope in scopes for prefix in scope.edk_prefixes or ())
        digests = frozenset(self._lost(proof, found)).union(*(scope.digests for scope in scopes))
        scope = TokenScope(_FORMATS, edk_prefixes=tuple(prefixes), digests=digests)
        tokens = services.store.count(scope).total()
        if not tokens:
            moved = f"{counted(found.moved, 'token')} moved there by this incident, none is there now."
            return OpeningTest(where, keys, None, moved if found.moved else "", proof.gaps)
        verifier = services.verifier.limited_to(*keys)
        verified = verified_of(verifier, scope, tokens, progress, cancelled, services.clock)
        stop_if(cancelled)
        return OpeningTest(where, keys, verified, gaps=proof.gaps)

    def _lost(self, proof: FreshProof, found: Replacements) -> Iterator[bytes]:
        """Give the digests of what the jobs have written and KMS opens under no key at all."""
        groups = (g.edk_prefix for g in proof.census.groups if g.format in _FORMATS)
        unknown = dict.fromkeys(prefix for prefix in groups if prefix not in proof.groups)
        for page in self._services.store.pages(TokenScope(_FORMATS, edk_prefixes=tuple(unknown))):
            digests = [token.digest for token in page if token.digest not in proof.single]
            for view in found.jobs:
                yield from self._services.store.written_in(view.job.run_id, digests)

    def _jobs(self, incident: Incident, kept: list[Any]) -> Iterator[JobView]:
        told = [incident.values.get(JOB, ""), incident.values.get(ENCRYPT_JOB, "")]
        told += [str(one.get("job", "")) for one in kept]
        for number in dict.fromkeys(text for text in told if text.isascii() and text.isdecimal()):
            try:
                yield self._services.jobs.show_job(int(number))
            except UnknownJobError:
                continue  # The evidence that was kept says what it wrote.

    def _named(self, situation: Situation, names: list[str]) -> dict[str, str]:
        """The keys by ARN, without the old one."""
        old = self._services.keys.describe(old_key(situation)).key_arn
        states = [self._services.keys.describe(name) for name in dict.fromkeys(filter(None, names))]
        return {s.key_arn: clean(s.name, 200) for s in states if not same_key(s.key_arn, old)}
