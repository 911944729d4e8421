"""What the generator made: every token's reference, format and key, never a plaintext."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from console.sandbox.corruption import Corruption
from console.sandbox.provider_tokens import Style, issue
from crypto_core.envelope import Format
from crypto_core.values.references import TokenRef

TOKENS_ALIAS = "alias/tokens"
OLD_TOKENS_ALIAS = "alias/tokens-old"


@dataclass(frozen=True, slots=True)
class WorldKey:
    """A KMS key of the sandbox; `material_ids` are its generations' KeyMaterialIds, the oldest first."""

    alias: str
    arn: str
    material_ids: tuple[str, ...]

    @property
    def key_id(self) -> str:
        return self.arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """One stored value that isn't NULL. `format` is what the value looks like by its beginning.

    `key_arn` and `key_material_id` are those of the encrypted data key with which the value begins, None
    where it begins with none.
    """

    ref: TokenRef
    format: Format
    style: Style
    key_arn: str | None = None
    key_material_id: str | None = None
    corruption: Corruption | None = None

    @property
    def column(self) -> str:
        return f"{self.ref.table}.{self.ref.column}"


@dataclass(frozen=True, slots=True)
class World:
    """Everything that was generated, and the numbers that a census must come to."""

    seed: int
    now: datetime
    current_key: WorldKey
    """alias/tokens: what the platform writes under today; two generations of key material."""
    old_key: WorldKey
    """alias/tokens-old: what it wrote under before; still holds tokens."""
    rows: Mapping[str, int]
    tokens: Mapping[TokenRef, GeneratedToken] = field(repr=False)
    organisations: tuple[str, ...] = field(repr=False)

    @property
    def by_format(self) -> dict[Format, int]:
        """Number of tokens by format, in the order of `Format`; every format is there."""
        counts = Counter(token.format for token in self.tokens.values())
        return {format_: counts[format_] for format_ in Format}

    @property
    def by_column(self) -> dict[str, dict[Format, int]]:
        """Number of tokens by column and, within, by format."""
        columns: dict[str, Counter[Format]] = {}
        for token in self.tokens.values():
            columns.setdefault(token.column, Counter())[token.format] += 1
        return {column: dict(counts) for column, counts in columns.items()}

    @property
    def by_key(self) -> dict[tuple[str, str], int]:
        """Number of tokens by key ARN and KeyMaterialId, corrupt ones that name a key included."""
        return dict(
            Counter(
                (token.key_arn, token.key_material_id)
                for token in self.tokens.values()
                if token.key_arn is not None and token.key_material_id is not None
            )
        )

    @property
    def corrupt(self) -> dict[TokenRef, Corruption]:
        return {t.ref: t.corruption for t in self.tokens.values() if t.corruption is not None}

    @property
    def plaintext_refs(self) -> tuple[TokenRef, ...]:
        return self._of_format(Format.PLAINTEXT)

    @property
    def dev_refs(self) -> tuple[TokenRef, ...]:
        return self._of_format(Format.DEV)

    def sealed_under(self, key: WorldKey, material_id: str | None = None) -> tuple[TokenRef, ...]:
        """The tokens that open with a key, or with one generation of it; corrupt ones don't open."""
        return tuple(
            token.ref
            for token in self.tokens.values()
            if token.corruption is None
            and token.key_arn == key.arn
            and material_id in (None, token.key_material_id)
        )

    def token_for(self, ref: TokenRef) -> str:
        """Return the plaintext that was issued for a reference, made anew from the seed; for tests.

        For a corrupt token it is what was sealed before the damage. Raises KeyError for another reference.
        """
        return issue(self.tokens[ref].style, self.seed, str(ref))

    def _of_format(self, format_: Format) -> tuple[TokenRef, ...]:
        return tuple(token.ref for token in self.tokens.values() if token.format is format_)
