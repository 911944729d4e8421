"""Who a key policy or a grant is about."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_core.text.clean_text import clean


@dataclass(frozen=True, slots=True)
class PolicyPrincipal:
    """Whom a statement is about. `kind` is AWS, Service, Federated or CanonicalUser, as in the policy."""

    kind: str
    value: str

    @property
    def is_everyone(self) -> bool:
        """True for `*`: anybody on earth with AWS credentials, and anonymous callers."""
        return self.value == "*"

    @property
    def account(self) -> str | None:
        if self.kind != "AWS":
            return None
        if self.value.isascii() and self.value.isdigit():
            return self.value
        parts = self.value.split(":")
        return parts[4] if len(parts) >= 6 and parts[0] == "arn" and parts[4] else None

    @property
    def is_account(self) -> bool:
        """True for an account as a whole: then its own IAM policies say who of it."""
        return self.account is not None and (self.value == self.account or self.value.endswith(":root"))

    @property
    def is_gone(self) -> bool:
        """True for the bare id that IAM leaves in a policy when a user or role is deleted."""
        return self.kind == "AWS" and self.value[:4] in ("AIDA", "AROA", "AGPA")

    @property
    def name(self) -> str:
        if self.is_everyone:
            return "everyone"
        if self.is_account:
            return f"account {self.account}"
        if self.is_gone:
            return f"{clean(self.value, 40)} (deleted)"
        if self.kind == "AWS" and self.account:
            return clean(self.value.split(":", 5)[5], 200)
        return clean(self.value, 200)

    def seen_from(self, account: str | None) -> str:
        """The principal as it reads in an account; whose it is, if it is of another one."""
        if account is None or self.is_account or self.account in (None, account):
            return self.name
        return f"{self.name} of account {self.account}"
