"""One tree of exceptions. Each says what happened, to which token reference or key, and what to do.

Messages never carry a token, an envelope, a data key or any part of them. Foreign text (a vendor's error
message, a row id) is cleaned before it becomes part of a message.
"""

from __future__ import annotations

from typing import Any

from crypto_core.values.clean_text import clean


class KeydeckError(Exception):
    """The root. `message` says what happened and to what, `remedy` what the operator can do: clean text.

    A class may name the `remedy` of those of its errors that come without one of their own.
    """

    default_remedy = ""

    def __init_subclass__(cls, *, remedy: str = "") -> None:
        super().__init_subclass__()
        cls.default_remedy = remedy or cls.default_remedy

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


class PolicyError(KeydeckError, remedy="Correct the policy; nothing was sent to KMS."):
    """A text that is no key policy; the message names the statement and the element."""


class InvalidReferenceError(KeydeckError):
    """A token reference that is malformed, or names a table, column or row that isn't there."""


class MissingReferenceError(
    InvalidReferenceError, remedy="Use a token reference such as gh_connection.access_token:gh-42."
):
    """A v2 envelope was to be sealed or opened without saying for which row."""


class InvalidFilterError(KeydeckError):
    """A filter expression that can't be read; `position` is the offending character, counted from 0."""

    def __init__(self, message: str, *, position: int, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.position = position


class InvalidTokenError(KeydeckError):
    """A token that can't be sealed: empty, too long, or not text."""


class RefusedError(KeydeckError):
    """Keydeck refuses to do this; nothing was changed."""


class InvalidFieldError(RefusedError):
    """What was entered in a field of a form can't be taken; `field` is the field's name."""

    def __init__(self, message: str, *, field: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.field = field


class ReadOnlyError(RefusedError, remedy="Start Keydeck without --read-only to change anything."):
    """A change was asked for while read-only is set."""


class NotConfirmedError(RefusedError, remedy="Look at the preview again and confirm it there."):
    """A change was to be made that the operator did not agree to, or not in the way that it demands."""


class ApprovalNeededError(KeydeckError):
    """A second identity has to approve this first. `request` is the request's id."""

    def __init__(self, message: str, *, request: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.request = request


class UnknownIncidentError(KeydeckError, remedy="List them with: keydeck incident list."):
    """There is no incident of that number."""


class RunbookError(
    KeydeckError, remedy="Correct the file; keydeck help own-runbooks says what a runbook holds."
):
    """A runbook can't be read; the message names the file, the step and the field."""


class ControlError(
    KeydeckError, remedy="Correct the file; keydeck help compliance says what a catalogue holds."
):
    """A catalogue of controls can't be read; the message names the file, the control and the field."""


class EvidenceError(
    KeydeckError, remedy="Verify the journal: keydeck journal verify. It holds the hash that was captured."
):
    """A piece of evidence is not what it was when it was captured."""


class StepLostError(
    RefusedError,
    remedy="Look at the incident: the journal has what was done until then; the other run goes on.",
):
    """A step is another operator's by now; this process writes nothing more for it."""


class DutyLostError(RefusedError, remedy="Nothing to do here: the other host goes on."):
    """A duty is another host's by now; this process writes nothing more for it."""


class ProviderError(KeydeckError):
    """A provider did not do what it was asked for, or could not be asked."""


class EndedKeyError(RefusedError, remedy="Sign it again with the present key, if it is true."):
    """A valid signature by a former key, made after the key's end, or nothing tells when."""


class AnchorError(KeydeckError):
    """A checkpoint can't be anchored outside of the database, or an anchor there can't be read."""


class AbsentAnchorsError(AnchorError):
    """There is nothing where anchors are kept: none was made yet, or all of them are gone."""


class MissingPermissionError(RefusedError):
    """A run would fail for want of a permission, and is not begun; the message names action and key."""


class InterruptedRunError(KeydeckError):
    """The operator interrupted a run. What was written stays written; the run can be started again."""


# Envelopes


class EnvelopeError(KeydeckError):
    """A stored value that can't be opened as an envelope; nothing of its content is in the message."""


class MalformedEnvelopeError(
    EnvelopeError, remedy="Restore this value from a backup or ask its owner to connect again."
):
    """The stored form is broken. `field` names the part: envelope, key ARN, encrypted data key, nonce, …"""

    def __init__(self, field: str, reason: str, *, remedy: str = "") -> None:
        super().__init__(f"Malformed {field}: {reason}.", remedy=remedy)
        self.field = field
        self.reason = reason


class UnsupportedFormatError(EnvelopeError):
    """The value is not in a format that this operation opens (plaintext, dev, empty, …)."""


class AuthenticationFailedError(
    EnvelopeError,
    remedy="The envelope was damaged or mixed up. Restore it from a backup or ask its owner to connect "
    "again.",
):
    """AES-GCM's tag or v2's commitment does not match: something isn't what was sealed."""


class WrongBindingError(
    EnvelopeError,
    remedy="If this is that database, set KEYDECK_BINDING to its name; if not, find out who copied the "
    "envelope here.",
):
    """The envelope names another database than the reader's (KEYDECK_BINDING), and is not opened here."""


class NewEnvelopeError(
    AuthenticationFailedError, remedy="Nothing was written. Try again; if it persists, report it."
):
    """A new envelope did not hold what was sealed, and was dropped. The old one is untouched."""


# KMS


class KmsError(KeydeckError):
    """KMS refused or failed. `operation` is the API operation, `key` the key it concerned where known."""

    transient = False
    """True where the same call may succeed a moment later."""

    def __init_subclass__(cls, *, transient: bool = False, remedy: str = "") -> None:
        super().__init_subclass__(remedy=remedy)
        cls.transient = transient or cls.transient

    def __init__(self, message: str, *, operation: str = "", key: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.operation = operation
        self.key = clean(key)

    @property
    def may_pass(self) -> bool:
        """True where the same call may succeed later, or in another session of AWS's."""
        return self.transient or isinstance(self, CredentialsError)

    @property
    def why(self) -> str:
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
        return f"{self.action} is not allowed"


class NotConfiguredError(KmsError):
    """Nobody has set what was asked for: a bucket without a policy, for one."""


class KeyDisabledError(KmsError, remedy="Enable the key (kms:EnableKey) or use another one."):
    """The KMS key is disabled."""


class KeyStateError(KmsError, remedy="Look at the key's state with: keydeck keys show KEY."):
    """The KMS key's state does not permit the operation: pending deletion, pending import, …"""


class KeyUnavailableError(
    KmsError,
    transient=True,
    remedy="Try again; for a key in a custom key store, check that the store is connected.",
):
    """KMS can't use the key right now."""


class IncorrectKeyError(
    KmsError, remedy="Name the right key, or trust it with --trust or KEYDECK_TRUSTED_KEYS."
):
    """The encrypted data key was not made under the key that was named."""


class UntrustedKeyError(
    KmsError, remedy="If the key is yours, trust it with --trust or KEYDECK_TRUSTED_KEYS."
):
    """KMS answered with a key other than the expected one; its answer was dropped."""


class WrongDataKeyError(
    KmsError,
    remedy="Nothing more was written under it. Find out what answers in KMS's place; then try again.",
):
    """KMS does not open the data key that it has just issued, or opens another one."""


class InvalidCiphertextError(
    KmsError, remedy="Check the Region (KEYDECK_REGIONS); if that is right, the envelope is damaged."
):
    """KMS can't open the encrypted data key: damaged, of another Region or account, or another context."""


class InvalidSignatureError(KmsError):
    """KMS says that a signature, or a message authentication code, is not by this key over this digest."""


class KeyNotFoundError(KmsError, remedy="Check the key's name, account and Region."):
    """There is no such KMS key or alias in this account and Region."""


class KmsThrottledError(
    KmsError, transient=True, remedy="Wait, or lower the rate: the quota is shared with production."
):
    """KMS's request quota is used up."""


class KmsDependencyTimeoutError(KmsError, transient=True, remedy="Try again."):
    """KMS timed out waiting for something it depends on."""


class KmsInternalError(
    KmsError, transient=True, remedy="Try again; if it persists, check the AWS Health Dashboard."
):
    """KMS failed internally."""


class KmsLimitError(KmsError):
    """A limit of KMS is reached, such as 25 on-demand rotations of one key."""


class KmsRequestError(KmsError):
    """KMS rejected the request as invalid, or answered with something Keydeck can't use."""


class MissingOperationError(
    KmsRequestError, remedy="AWS itself has it: if AWS was to answer, check AWS_ENDPOINT_URL."
):
    """What answers in AWS's place does not have the operation."""

    @property
    def why(self) -> str:
        return f"this endpoint does not have {self.operation}"


class ContradictoryAnswerError(
    KmsRequestError, remedy="Check which endpoint answers for KMS, and whether the key was just changed."
):
    """KMS names another key for a data key once it is asked with the key that it named."""


class PageTokenError(KmsRequestError, remedy="Start the list again."):
    """AWS no longer knows the page from which a list was to go on."""


class KmsUnreadableError(KmsRequestError):
    """The response is not KMS's, or can't be read: whether the call took effect is not known."""


class DryRunPassedError(KmsError):
    """A call with DryRun would have succeeded: this is how KMS says so. Not a failure."""


class CredentialsError(KmsError, remedy="Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."):
    """AWS credentials are missing, incomplete or not accepted."""


class CredentialsExpiredError(CredentialsError, remedy="Renew it (for SSO: aws sso login --profile NAME)."):
    """The AWS session has expired."""


class CodeNotEnteredError(
    CredentialsError,
    remedy="To be asked again, choose the profile again (:context), or run the command again.",
):
    """A profile needs a code of an MFA device, and it was not entered, or nobody could be asked for it."""


class KmsUnreachableError(KmsError, transient=True, remedy="Check the network and AWS_ENDPOINT_URL."):
    """No answer from the KMS endpoint: no route, refused, or timed out."""


# Database


class DatabaseError(KeydeckError):
    """PostgreSQL refused or failed. `sqlstate` is its code, "" if the server gave none.

    `foreign` says that a table of the platform's refused it, or code that its owner attached.
    """

    def __init__(self, message: str, *, remedy: str = "", sqlstate: str = "", foreign: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.sqlstate = sqlstate
        self.foreign = foreign

    @property
    def passing(self) -> bool:
        """True where the same may succeed later: a race was lost, or the server lacks something."""
        return self.sqlstate[:2] in ("08", "40", "53") or self.sqlstate in ("55P03", "57014")

    @property
    def by_the_row(self) -> bool:
        """True where another row may be written: a value was refused, or a table or its code refuses."""
        refused = self.sqlstate[:2] in ("22", "23", "44") or self.sqlstate == "P0001"
        return not self.passing and (self.foreign or refused)

    @property
    def by_the_table(self) -> bool:
        """True where no row of the same table or partition may be written, by what the code stands for."""
        return self.foreign and self.sqlstate in ("0A000", "42501", "42809", "55000")


class ChangedByDatabaseError(DatabaseError):
    """The database stored another value than it was given: a trigger, a rule or a type changed it."""

    @property
    def by_the_row(self) -> bool:
        """True: another row may be stored as it is given."""
        return True


class ChangedAtCommitError(DatabaseError):
    """The database changed tokens as their transaction was committed, after they were stored as given."""


class ForeignWriteError(DatabaseError):
    """Something else than Keydeck wrote to its journal or backups in Keydeck's own transaction."""


class DatabaseUnreachableError(DatabaseError, remedy="Check DATABASE_URL and that the server is up."):
    """No connection to the database, or it was lost."""

    @property
    def passing(self) -> bool:
        """True unless the server is there and refuses this role or has no such database."""
        return self.sqlstate[:2] not in ("28", "3D")


class DatabaseLoginError(DatabaseUnreachableError):
    """The server, or a pooler before it, lets nobody in with this URL; waiting doesn't mend it."""

    @property
    def passing(self) -> bool:
        """False: something has to be set otherwise first."""
        return False


class DatabaseReadOnlyError(
    DatabaseError,
    remedy="Connect to the primary, with a role that may write; to look only, start with --read-only.",
):
    """The database accepts no writes: a standby, or read only by its own setting."""


class MissingGrantError(DatabaseError):
    """The database role lacks a privilege; the message names the GRANT."""


class MissingSchemaError(DatabaseError, remedy="Create it with: keydeck init."):
    """Keydeck's own schema, or a table of it, isn't there."""


class NewerSchemaError(
    DatabaseError, remedy="Install that version of Keydeck here, or connect to the database with --read-only."
):
    """Keydeck's own schema is newer than this Keydeck, which writes nothing into what it doesn't know."""


class DatabaseTimeoutError(DatabaseError, remedy="Try again when the database is less busy."):
    """A statement or a lock took longer than allowed and was cancelled.

    `limit` is how long a statement may take, as PostgreSQL writes it; "" where that is not known.
    """

    def __init__(self, message: str, *, remedy: str = "", sqlstate: str = "", limit: str = "") -> None:
        super().__init__(message, remedy=remedy, sqlstate=sqlstate)
        self.limit = clean(limit, 30)


class RowVanishedError(DatabaseError):
    """The row, or the token in it, is not there."""


class ConflictError(DatabaseError, remedy="Nothing was overwritten. Try again."):
    """Another writer kept changing the row; their value stays."""


# Jobs


class JobError(KeydeckError):
    """A job can't carry out a request."""


class UnknownJobError(JobError, remedy="List the jobs with: keydeck jobs list."):
    """A job that there is not."""


class JobChangedError(
    JobError,
    remedy="Nothing more is written. keydeck journal list has who began it; cancel it, and start a new one.",
):
    """A job's row doesn't say what was confirmed."""


class LeaseLostError(JobError):
    """A chunk is another process's by now; what this one had not written is left to that one."""


# CloudTrail's events


class ReceiptError(KeydeckError):
    """What is no receipt, or a place where receipts can't be written."""


class TrailError(KeydeckError):
    """Events can't be fetched, read or kept."""


class AbilityBookError(ProviderError, remedy="Free some space, or move the file away: it is made anew."):
    """The answers about what tokens can do can't be read or written; the message names their file."""


class EventStoreError(TrailError, remedy="Free some space, or name another file with KEYDECK_EVENTS_FILE."):
    """The local store of events can't be opened, read or written; the message names its file."""


class EventVanishedError(TrailError, remedy="List the events with: keydeck events list."):
    """An event that is not, or no longer, in the store."""
