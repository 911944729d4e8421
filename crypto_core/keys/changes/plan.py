"""The plan of a key's change, with what it does and does not do, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crypto_core.database.tokens.fresh_proof import FreshProof
from crypto_core.database.tokens.lost_tokens import AcceptedLoss, accepted_words
from crypto_core.guard.consent import Danger, document_digest
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.dependent_copies import NeedingCopies
from crypto_core.values.clean_text import clean, cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape

UNCOUNTED = "uncounted"
"""What is typed instead of a number where the tokens under a key can't be counted."""


_GONE_BY = ("seen", "expected", "operations", "confirmation", "policy")
"""What a change goes by and sends: it stays as it came."""


@dataclass(frozen=True, slots=True)
@cleans(name=60, before=2_000, after=2_000)
class ChangedFact(JsonRecord):
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
@cleans(gaps=1_000)
class TokensAtRisk(JsonRecord):
    """The tokens that can't be opened while the key can't be used."""

    under: int = 0
    """Tokens under the key, all its materials and replicas together."""
    doubtful: int = 0
    gaps: tuple[str, ...] = ()
    backups: int | None = 0
    """Replaced envelopes under the key that Keydeck keeps; None where they can't be counted. No tokens any
    more, so they do not keep a key from being disabled."""
    proof: FreshProof | None = field(default=None, compare=False)
    """What the count rests on; None where that is what is remembered, or where nothing could be counted."""
    accepted: tuple[AcceptedLoss, ...] = ()
    """Tokens that are not counted: they open for nobody, and were accepted as lost."""
    copies: NeedingCopies | None = field(default=None, compare=False)
    """Registered copies that need the key; None where that is not asked."""

    json_shape = shape(
        "under doubtful gaps backups accepted_as_unrecoverable copies proof",
        accepted_as_unrecoverable=lambda record: [str(loss.value.ref) for loss in record.accepted],
    )

    @property
    def at_most_known(self) -> int:
        return self.under + self.doubtful

    @property
    def none(self) -> bool:
        """True if it is certain that no token is under the key."""
        return not self.at_most_known and not self.gaps

    @property
    def confirmation(self) -> str:
        """What has to be typed to lose them; "" where there is nothing to lose.

        What was accepted as lost is lost for good with the key: its number is typed, too.
        """
        lost = self.at_most_known + len(self.accepted)
        if lost:
            return str(lost)
        return UNCOUNTED if self.gaps else ""

    @property
    def warnings(self) -> tuple[str, ...]:
        found = []
        if self.at_most_known:
            number = counted(self.at_most_known, "token")
            found.append(f"{number} can no longer be opened. Re-encrypt them under another key before.")
        if self.doubtful:
            found.append(
                f"Of {counted(self.doubtful, 'token')} the key is not known; they count as lost. Ask about "
                "each with: keydeck verify --all."
            )
        if self.backups is None:
            found.append(
                "How many replaced envelopes under the key are kept as backups could not be counted."
            )
        elif self.backups:
            number = counted(self.backups, "replaced envelope")
            found.append(f"{number} in keydeck.envelope_backup: none can be restored without the key.")
        found += [f"Not counted: {gap}" for gap in self.gaps]
        if self.confirmation == UNCOUNTED:
            found.append("The key may hold tokens that could not be counted.")
        if self.accepted:
            found.append(f"Can never be opened once the key is gone: {accepted_words(self.accepted)}.")
        found += self.copies.lines if self.copies else ()
        return (*found, *(self.proof.remarks if self.proof else ()))

    def __str__(self) -> str:
        if self.none:
            return f"0 left but for {accepted_words(self.accepted)}" if self.accepted else "no token"
        parts = [counted(self.under, "token")]
        if self.doubtful:
            parts.append(f"{self.doubtful:,} whose key is not known")
        if self.gaps:
            parts.append("not all could be counted")
        if self.accepted:
            parts.append(f"besides {accepted_words(self.accepted)}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
@cleans(1_000, raw=_GONE_BY, policy_lines=2_000)
class Draft:
    """What a change of a key is to do. Cleaned text throughout, but for `policy`, which is what is sent.

    `seen` is what the change goes by, read from KMS: it is read again right before acting, and a key that has
    changed meanwhile is left alone. `expected` is what is to be read afterwards.
    """

    title: str
    seen: Mapping[str, str]
    expected: Mapping[str, str]
    operations: tuple[str, ...]
    typed: bool = False
    """True if it takes typing, though its operation does not always."""
    confirmation: str = ""
    does: tuple[str, ...] = ()
    does_not: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tokens: TokensAtRisk | None = None
    """None where the change takes the key away from no token."""
    policy_changes: tuple[str, ...] = ()
    policy_lines: tuple[str, ...] = ()
    policy: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
@cleans(key_name=1_000, region=1_000)
class ChangePlan(JsonRecord, Draft):
    """A dry run's result; nothing has been changed. `change` is the requested change, as it is sent."""

    change: KeyChange
    key_arn: str
    """"" for a key that is to be made."""
    key_name: str
    region: str

    json_shape = shape(
        "dry_run *change title key_arn? key_name region changes_nothing does does_not warnings facts "
        "operations danger confirmation refused_unless_typed tokens policy_changes "
        "policy_diff=policy_lines",
        dry_run=True,
        operations=lambda record: [f"kms:{operation}" for operation in record.operations],
    )

    @property
    def danger(self) -> Danger:
        """How much asking it takes: none where the key is so already, else what its operation takes.

        An alias that moves takes typing: the platform begins to write under another key with it. What is
        typed is the key's name; to take a key away that has tokens, or tokens that can't be counted, it is
        their number, and it is refused unless that is typed (`refused_unless_typed`): --yes is not enough.
        """
        if not self.operations:
            return Danger.NONE
        return Danger.TYPED if self.typed else self.change.kind.operation.danger

    @property
    def changes_nothing(self) -> bool:
        return self.danger is Danger.NONE

    @property
    def refused_unless_typed(self) -> bool:
        """True if tokens would be lost: then only typing how many is a consent."""
        return self.tokens is not None and bool(self.tokens.confirmation) and not self.changes_nothing

    @property
    def shown_confirmation(self) -> str:
        return clean(self.confirmation, 200)

    @property
    def facts(self) -> tuple[ChangedFact, ...]:
        names = dict.fromkeys((*self.seen, *self.expected))
        return tuple(
            ChangedFact(n, self.seen.get(n, "-"), self.expected.get(n, self.seen.get(n, "-"))) for n in names
        )

    @property
    def digest(self) -> str:
        """SHA-256, in hex, over what is to be done, to which key, and the state it was planned on."""
        told = {
            "change": self.change.as_json(),
            "accept_lockout": self.change.accept_lockout,
            "texts": [self.change.description, self.change.policy, self.policy],
            "key": self.key_arn,
            "region": self.region,
            "seen": dict(self.seen),
            "expected": dict(self.expected),
            "operations": self.operations,
            "danger": self.danger,
            "confirmation": self.confirmation,
        }
        return document_digest(told)


@dataclass(frozen=True, slots=True)
@cleans(stopped_by=2_000, unverified=2_000, next_steps=2_000, unjournaled=2_000)
class ChangeResult(JsonRecord):
    """The outcome of a change. The later values of `facts` were read from KMS, never concluded."""

    plan: ChangePlan
    key_arn: str
    """The key that was changed or made; "" if none was."""
    verified: bool
    facts: tuple[ChangedFact, ...]
    done: tuple[str, ...] = ()
    stopped_by: str = ""
    """Why not all of them were, or weren't answered; what `done` says was done all the same. Where `verified`
    is True nevertheless, the effect is there."""
    unverified: str = ""
    next_steps: tuple[str, ...] = ()
    unjournaled: str = ""
    """Why the end is not in the journal; its beginning is."""

    json_shape = shape(
        "dry_run *plan.change title=plan.title key_arn? verified facts done ...",
        dry_run=False,
        done=lambda record: [f"kms:{operation}" for operation in record.done],
    )
