"""One tree of exceptions. Each says what happened, to which token reference or key, and what to do.

Messages never carry a token, an envelope, a data key or any part of them. Foreign text (a vendor's error
message, a row id) is cleaned before it becomes part of a message.
"""

from __future__ import annotations

from typing import Any

from crypto_core.text.cleaning import clean


class KeydeckError(Exception):
    """The root. `message` says what happened and to what, `remedy` what the operator can do: clean text."""

    default_remedy = ""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        self.message = clean(message, 2_000)
        self.remedy = clean(remedy or self.default_remedy, 2_000)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process pickles its error; Exception's own way calls __init__ with the message alone.
        return _restored, (type(self), self.message), self.__dict__


def _restored(kind: type[KeydeckError], message: str) -> KeydeckError:
    return kind.__new__(kind, message)


class SettingsError(KeydeckError):
    """A setting is missing or malformed."""


class PolicyError(KeydeckError):
    """A text that is no key policy; the message names the statement and the element."""

    default_remedy = "Correct the policy; nothing was sent to KMS."


class InvalidReferenceError(KeydeckError):
    """A token reference that is malformed, or names a table, column or row that isn't there."""


class MissingReferenceError(InvalidReferenceError):
    """A v2 envelope was to be sealed or opened without saying for which row."""

    default_remedy = "Use a token reference such as gh_connection.access_token:gh-42."


class InvalidFilterError(KeydeckError):
    """A filter expression that can't be read; `position` is the offending character, counted from 0."""

    def __init__(self, message: str, *, position: int, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.position = position


class InvalidTokenError(KeydeckError):
    """A token that can't be sealed: empty, too long, or not text."""


class RefusedError(KeydeckError):
    """Keydeck refuses to do this; nothing was changed."""


class ReadOnlyError(RefusedError):
    """A change was asked for while read-only is set."""

    default_remedy = "Start Keydeck without --read-only to change anything."


class NotConfirmedError(RefusedError):
    """A change was to be made that the operator did not agree to, or not in the way that it demands."""

    default_remedy = "Look at the preview again and confirm it there."


class ApprovalNeededError(KeydeckError):
    """A second identity has to approve this first. `request` is the request's id."""

    def __init__(self, message: str, *, request: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.request = request


class UnknownIncidentError(KeydeckError):
    """There is no incident of that number."""

    default_remedy = "List them with: keydeck incident list."


class RunbookError(KeydeckError):
    """A runbook can't be read; the message names the file, the step and the field."""

    default_remedy = "Correct the file; README.md says what a runbook holds."


class EvidenceError(KeydeckError):
    """A piece of evidence is not what it was when it was captured."""

    default_remedy = "Verify the journal: keydeck journal verify. It holds the hash that was captured."


class ProviderError(KeydeckError):
    """A provider did not do what it was asked for, or could not be asked."""


class MissingPermissionError(RefusedError):
    """A run would fail for want of a permission, and is not begun; the message names action and key."""


class InterruptedRunError(KeydeckError):
    """The operator interrupted a run. What was written stays written; the run can be started again."""


# Envelopes


class EnvelopeError(KeydeckError):
    """A stored value that can't be opened as an envelope; nothing of its content is in the message."""


class MalformedEnvelopeError(EnvelopeError):
    """The stored form is broken. `field` names the part: envelope, key ARN, encrypted data key, nonce, …"""

    default_remedy = "Restore this value from a backup or ask its owner to connect again."

    def __init__(self, field: str, reason: str, *, remedy: str = "") -> None:
        super().__init__(f"Malformed {field}: {reason}.", remedy=remedy)
        self.field = field
        self.reason = reason


class UnsupportedFormatError(EnvelopeError):
    """The value is not in a format that this operation opens (plaintext, dev, empty, …)."""


class AuthenticationFailedError(EnvelopeError):
    """AES-GCM's tag or v2's commitment does not match: something isn't what was sealed."""

    default_remedy = (
        "The envelope was damaged or mixed up. Restore it from a backup or ask its owner to connect again."
    )


class NewEnvelopeError(AuthenticationFailedError):
    """A new envelope did not hold what was sealed, and was dropped. The old one is untouched."""

    default_remedy = "Nothing was written. Try again; if it persists, report it."


# KMS


class KmsError(KeydeckError):
    """KMS refused or failed. `operation` is the API operation, `key` the key it concerned where known."""

    transient = False
    """True where the same call may succeed a moment later."""

    def __init__(self, message: str, *, operation: str = "", key: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.operation = operation
        self.key = clean(key)

    @property
    def why(self) -> str:
        """Why something could not be had, as it is said behind what is missing."""
        return self.message


class KmsAccessDeniedError(KmsError):
    """The AWS identity may not perform the operation. `action` is the IAM action that is missing."""

    def __init__(
        self, message: str, *, operation: str = "", key: str = "", action: str = "", remedy: str = ""
    ) -> None:
        super().__init__(message, operation=operation, key=key, remedy=remedy)
        self.action = clean(action) or (f"kms:{operation}" if operation else "")

    @property
    def why(self) -> str:
        """The IAM action that is missing."""
        return f"{self.action} is not allowed"


class KeyDisabledError(KmsError):
    """The KMS key is disabled."""

    default_remedy = "Enable the key (kms:EnableKey) or use another one."


class KeyStateError(KmsError):
    """The KMS key's state does not permit the operation: pending deletion, pending import, …"""

    default_remedy = "Look at the key's state with: keydeck keys show KEY."


class KeyUnavailableError(KmsError):
    """KMS can't use the key right now."""

    transient = True
    default_remedy = "Try again; for a key in a custom key store, check that the store is connected."


class IncorrectKeyError(KmsError):
    """The encrypted data key was not made under the key that was named."""

    default_remedy = "Name the right key, or trust it with --trust or KEYDECK_TRUSTED_KEYS."


class UntrustedKeyError(KmsError):
    """KMS answered with a key other than the expected one; its answer was dropped."""

    default_remedy = "If the key is yours, trust it with --trust or KEYDECK_TRUSTED_KEYS."


class InvalidCiphertextError(KmsError):
    """KMS can't open the encrypted data key: damaged, of another Region or account, or another context."""

    default_remedy = "Check the Region (KEYDECK_REGIONS); if that is right, the envelope is damaged."


class InvalidSignatureError(KmsError):
    """KMS says that a signature, or a message authentication code, is not by this key over this digest."""


class KeyNotFoundError(KmsError):
    """There is no such KMS key or alias in this account and Region."""

    default_remedy = "Check the key's name, account and Region."


class KmsThrottledError(KmsError):
    """KMS's request quota is used up."""

    transient = True
    default_remedy = "Wait, or lower the rate: the quota is shared with production."


class KmsDependencyTimeoutError(KmsError):
    """KMS timed out waiting for something it depends on."""

    transient = True
    default_remedy = "Try again."


class KmsInternalError(KmsError):
    """KMS failed internally."""

    transient = True
    default_remedy = "Try again; if it persists, check the AWS Health Dashboard."


class KmsLimitError(KmsError):
    """A limit of KMS is reached, such as 25 on-demand rotations of one key."""


class KmsRequestError(KmsError):
    """KMS rejected the request as invalid, or answered with something Keydeck can't use."""


class PageTokenError(KmsRequestError):
    """AWS no longer knows the page from which a list was to go on."""

    default_remedy = "Start the list again."


class KmsUnreadableError(KmsRequestError):
    """What answered is not KMS, or can't be read: whether it did what was asked is not known."""


class DryRunPassedError(KmsError):
    """A call with DryRun would have succeeded: this is how KMS says so. Not a failure."""


class CredentialsError(KmsError):
    """AWS credentials are missing, incomplete or not accepted."""

    default_remedy = "Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."


class CredentialsExpiredError(CredentialsError):
    """The AWS session has expired."""

    default_remedy = "Renew it (for SSO: aws sso login) and try again."


class KmsUnreachableError(KmsError):
    """No answer from the KMS endpoint: no route, refused, or timed out."""

    transient = True
    default_remedy = "Check the network and AWS_ENDPOINT_URL."


# Database


class DatabaseError(KeydeckError):
    """PostgreSQL refused or failed. `sqlstate` is its code, "" where the server said none."""

    def __init__(self, message: str, *, remedy: str = "", sqlstate: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.sqlstate = sqlstate

    @property
    def passing(self) -> bool:
        """True where the same may succeed later: a race was lost, or the server lacks something."""
        return self.sqlstate[:2] in ("08", "40", "53") or self.sqlstate in ("55P03", "57014")

    @property
    def by_the_row(self) -> bool:
        """True where a value was refused: by its type, a constraint, a view's check or a trigger."""
        return self.sqlstate[:2] in ("22", "23", "44") or self.sqlstate == "P0001"


class DatabaseUnreachableError(DatabaseError):
    """No connection to the database, or it was lost."""

    default_remedy = "Check DATABASE_URL and that the server is up."

    @property
    def passing(self) -> bool:
        """True unless the server is there and refuses this role or has no such database."""
        return self.sqlstate[:2] not in ("28", "3D")


class DatabaseReadOnlyError(DatabaseError):
    """The database accepts no writes: a standby, or read only by its own setting."""

    default_remedy = "Connect to the primary, with a role that may write."


class MissingGrantError(DatabaseError):
    """The database role lacks a privilege; the message names the GRANT."""


class MissingSchemaError(DatabaseError):
    """Keydeck's own schema, or a table of it, isn't there."""

    default_remedy = "Create it with: keydeck init."


class DatabaseTimeoutError(DatabaseError):
    """A statement or a lock took longer than allowed and was cancelled."""

    default_remedy = "Try again when the database is less busy."


class RowVanishedError(DatabaseError):
    """The row, or the token in it, is not there."""


class ConflictError(DatabaseError):
    """Somebody else kept changing the row; their value stays."""

    default_remedy = "Nothing was overwritten. Try again."


# Jobs


class JobError(KeydeckError):
    """A job can't do what was asked of it."""


class UnknownJobError(JobError):
    """A job that there is not."""

    default_remedy = "List what there is with: keydeck jobs list."


class LeaseLostError(JobError):
    """A chunk is another process's by now; what this one had not written is left to that one."""


# CloudTrail's events


class TrailError(KeydeckError):
    """Events can't be fetched, read or kept."""


class EventStoreError(TrailError):
    """The local store of events can't be opened, read or written; the message names its file."""

    default_remedy = "Free some space, or name another file with KEYDECK_EVENTS_FILE."


class EventVanishedError(TrailError):
    """An event that is not, or no longer, in the store."""

    default_remedy = "List what there is with: keydeck events list."
