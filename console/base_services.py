"""What all other services are made from. Nothing is connected or asked before it is needed.

What the first rows need is made at once; everything else is a deferred property, which loads its module when
it is first used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

from console.capabilities import added_services
from console.lazy_services import deferred_property
from console.own_folders import data_folder, state_folder
from console.settings import Settings
from crypto_core.aws.fips import require_fips
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.mfa_codes import AskCode, nobody_to_ask
from crypto_core.aws.receipts.destination import FILE, TABLE, recorder_for
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.receipt_table import TableSink
from crypto_core.database.tokens.attribution_cache import AttributionCache
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.inventory import Inventory
from crypto_core.database.tokens.tripwire_list import TripwireList
from crypto_core.envelope import Format
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.log.observation import SILENT, Observer
from crypto_core.values.errors import KeydeckError
from crypto_core.values.key_names import same_key

if TYPE_CHECKING:
    from console.environment_probe import EnvironmentProbe
    from crypto_core.aws.approval_calls import KmsApprovalCalls
    from crypto_core.aws.receipts.recorder import ReceiptRecorder
    from crypto_core.database.state.approval_book import ApprovalBook
    from crypto_core.database.state.incidents import IncidentStore
    from crypto_core.database.state.journal import Journal
    from crypto_core.database.state.journal_breaks import JournalBreaks
    from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
    from crypto_core.database.tokens.attribution import Attributor
    from crypto_core.database.tokens.fingerprints import Carrier, KeptIndex
    from crypto_core.database.tokens.inspection import Inspector
    from crypto_core.database.tokens.lost_tokens import AcceptedLosses
    from crypto_core.database.tokens.store import TokenStore
    from crypto_core.database.tokens.sweep.full_read import ReadingProgress
    from crypto_core.database.tokens.sweep.service import SweepService
    from crypto_core.guard.guard import Guard
    from crypto_core.guard.signature import Signer
    from crypto_core.keys.inventory import KeyInventory
    from crypto_core.keys.service import StatusService
    from crypto_core.values.references import TokenRef


Kept = TypeVar("Kept")
_INCIDENTS = 100
"""The newest incidents are asked whether a key is theirs."""


class _Guard(TypedDict):
    """What every service takes that changes something."""

    read_only: bool
    approvals: ApprovalBook


class BaseServices:
    """Connections, keys, tokens and Keydeck's own state, over which the groups of services are made."""

    def __init__(
        self,
        settings: Settings,
        *,
        trust: Iterable[str] = (),
        observer: Observer = SILENT,
        ask_code: AskCode = nobody_to_ask,
    ) -> None:
        """`trust` are keys trusted for this command alone; `observer` is told of every call of KMS and every
        operation on a token; `ask_code` is asked for the codes of MFA devices. Raises SettingsError.
        """
        if settings.fips:
            require_fips()
        read_only = settings.read_only
        self.settings = settings
        self._kept: dict[object, object] = {}
        self._making = RLock()
        self.ending = ExitStack()  # what capabilities end before the connections are closed
        self.ask_code = ask_code
        self.show_reading: Callable[[ReadingProgress], None] = lambda _: None
        self.observer = observer
        self.trusted_keys = (*settings.trusted_keys, *trust)
        self.kms = KmsApi(
            settings.regions,
            profile=settings.profile,
            read_only=read_only,
            observer=observer,
            ask_code=ask_code,
        )
        open_here = partial(open_engine, read_only=read_only, token_source=self.kms.database_token)
        self.engine = open_here(settings.required_database_url())
        self.same_database = settings.state_url in (None, settings.database_url)
        self.state_engine = (
            self.engine
            if self.same_database
            else open_here(str(settings.state_url), setting="KEYDECK_STATE_URL")
        )
        self.kms.receipts = self._receipts()
        self.keyring = KmsKeyring(
            self.kms,
            write_key=settings.write_key,
            trusted=self.trusted_keys,
            binding=settings.binding,
            observer=observer,
        )
        self.tripwire_list = TripwireList(self.state_engine, self.keyring)
        self.catalogue = LiveCatalogue(
            self.engine,
            settings.all_tables,
            decoys=self.tripwire_list.decoys,
            agreed=settings.agreed_code.__contains__,
        )
        self.answers = AttributionCache(self.engine, read_only=read_only)
        self.inventory = Inventory(self.engine, self.catalogue, self.answers, aliases=self._known_aliases)

    def of(self, kind: Callable[[Any], Kept]) -> Kept:
        """Return a capability's services over this container, made once."""
        with self._making:
            if kind not in self._kept:
                self._kept[kind] = kind(self)
        return cast("Kept", self._kept[kind])

    def added(self, name: str) -> Any:
        """Return a service of a capability, None where that is left out."""
        make = added_services().get(name)
        return make(self) if make else None

    def _receipts(self) -> ReceiptRecorder | None:
        """What records Keydeck's own KMS calls. Read-only, nothing is written to the database: to a file."""
        setting = self.settings.receipts
        if self.settings.read_only and setting == TABLE:
            setting = f"{FILE}{data_folder() / 'receipts.jsonl'}"
        return recorder_for(setting, partial(TableSink, self.state_engine))

    # What is read.

    @deferred_property
    def store(self) -> TokenStore:
        from crypto_core.database.tokens.store import TokenStore

        return TokenStore(self.engine, self.catalogue, self.answers, carrier=self._carrier)

    @deferred_property
    def attributor(self) -> Attributor:
        from crypto_core.database.tokens.attribution import Attributor

        return Attributor(self.store, self.keyring, self.answers)

    @deferred_property
    def keys(self) -> KeyInventory:
        from crypto_core.keys.inventory import KeyInventory

        return KeyInventory(self.kms, guarding=lambda: (*self.keyring.trusted, *self.attributor.met))

    @deferred_property
    def probe(self) -> EnvironmentProbe:
        from console.environment_probe import EnvironmentProbe

        return EnvironmentProbe(self.settings, self.engine, self.kms, self.keys.aliases)

    def _known_aliases(self) -> Mapping[str, Sequence[str]]:
        return self.keys.known_aliases()

    @deferred_property
    def sweeps(self) -> SweepService:
        from crypto_core.database.tokens.sweep.service import SweepService

        return SweepService(
            self.engine,
            self.catalogue,
            read_only=self.settings.read_only,
            folder=state_folder(),
            show=lambda progress: self.show_reading(progress),  # noqa: PLW0108  # it may be set later
        )

    @deferred_property
    def status(self) -> StatusService:
        from crypto_core.database.tokens.fresh_proof import FreshProver
        from crypto_core.keys.service import StatusService

        fresh = FreshProver(
            self.store,
            self.catalogue,
            self.attributor,
            self.keyring,
            self.sweeps,
            accepted=self._accepted_losses,
        )
        return StatusService(
            self.engine,
            self.catalogue,
            self.answers,
            self.attributor,
            self.keys,
            self.keyring,
            self.sweeps,
            fresh,
            least_format=Format(self.settings.least_format),
            incident_of=self._incident_of,
        )

    @deferred_property
    def inspector(self) -> Inspector:
        from crypto_core.database.tokens.inspection import Inspector

        return Inspector(self.inventory, self.store, self.attributor, sharing=self._sharing)

    def _sharing(self, ref: TokenRef) -> tuple[TokenRef, ...] | None:
        return index.sharing(ref) if (index := self.token_index) is not None else None

    # The state of Keydeck itself.

    @deferred_property
    def journal(self) -> Journal:
        from crypto_core.database.state.journal import Journal

        browser = f"browser of {self.settings.browser_user}" if self.settings.browser_user else ""
        return Journal(self.state_engine, self.probe.actor, through=browser)

    @deferred_property
    def approvals(self) -> ApprovalBook:
        from crypto_core.database.state.approval_book import ApprovalBook

        return ApprovalBook(
            self.state_engine,
            self.journal,
            self.identity,
            self.settings.approvals,
            tokens=self.engine,
            calls=self._approval_calls(),
            minutes=self.settings.approval_minutes,
            read_only=self.settings.read_only,
        )

    def _approval_calls(self) -> KmsApprovalCalls | None:
        if not self.settings.approvals_key:
            return None
        from crypto_core.aws.approval_calls import KmsApprovalCalls

        return KmsApprovalCalls(self.kms, self.settings.approvals_key)

    @property
    def guarding(self) -> _Guard:
        return {"read_only": self.settings.read_only, "approvals": self.approvals}

    @property
    def noting(self) -> Guard:
        """The guard of changes that Keydeck's own tables alone note."""
        from crypto_core.database.state.installation import require_schemas
        from crypto_core.guard.guard import Guard

        ready = require_schemas(self.state_engine)
        return Guard(self.journal, read_only=self.settings.read_only, ready=ready)

    @deferred_property
    def checkpoints(self) -> JournalCheckpoints:
        from console.anchors import anchoring_of
        from crypto_core.database.state.journal_checkpoints import JournalCheckpoints

        return JournalCheckpoints(
            self.journal,
            self.signer(),
            read_only=self.settings.read_only,
            anchoring=anchoring_of(self.settings, self.kms),
        )

    @deferred_property
    def journal_breaks(self) -> JournalBreaks:
        from crypto_core.database.state.journal_breaks import JournalBreaks

        return JournalBreaks(self.checkpoints, **self.guarding)

    def signer(self) -> Signer | None:
        if not self.settings.signing_key:
            return None
        from crypto_core.aws.kms_signer import KmsSigner

        return KmsSigner(self.kms.call, self.settings.signing_key, self.settings.former_signing_keys)

    def identity(self) -> str:
        return self.kms.identity().arn

    @deferred_property
    def incident_store(self) -> IncidentStore:
        from crypto_core.database.state.incidents import IncidentStore

        return IncidentStore(self.state_engine, self.journal)

    def _accepted_losses(self) -> AcceptedLosses:
        """What was accepted as lost in incidents, as Keydeck's tables and the journal have it."""
        from crypto_core.incidents.keys.accepted_losses import read_acceptances

        return read_acceptances(self.incident_store)

    def _incident_of(self, key_arn: str) -> str:
        """The incident that calls a key its new one, as Keydeck's tables have it; "" for none."""

        try:
            listed = self.incident_store.list(closed=True, limit=_INCIDENTS)
        except KeydeckError:
            return ""  # The warning is the same without it: the key is not trusted.
        return next(
            (f"INC-{row.id}" for row, _ in listed if same_key(row.known.get("new_key", ""), key_arn)), ""
        )

    def backups_under(self, key: str) -> int:
        from crypto_core.database.tokens.backups import backups_under

        return backups_under(self.engine, key)

    @property
    def token_index(self) -> KeptIndex | None:
        """The index of tokens; None where the settings have none."""
        return self.added("token_index") if self.settings.token_index else None

    def _carrier(self) -> Carrier | None:
        return index.carrier() if (index := self.token_index) is not None else None
