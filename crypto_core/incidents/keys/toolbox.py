"""All that steps can do, check and capture about KMS keys, by the names of the catalogue."""

from __future__ import annotations

from functools import partial

from crypto_core.incidents.keys.block import BlockingSuspects
from crypto_core.incidents.keys.captures import KeyCaptures
from crypto_core.incidents.keys.census_checks import EmptiedChecks
from crypto_core.incidents.keys.checks import KeyChecks, rotation_check
from crypto_core.incidents.keys.key_use_checks import WatchingChecks
from crypto_core.incidents.keys.lifecycle import lifecycle_actions
from crypto_core.incidents.keys.lock_down import LockingKey
from crypto_core.incidents.keys.new_key import MakingKey
from crypto_core.incidents.keys.reencryption_job import MovingTokens
from crypto_core.incidents.keys.rotation.guide import CHECKS
from crypto_core.incidents.keys.subject import key_check
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from crypto_core.incidents.steps.step_contracts import IncidentCheck, Toolbox
from crypto_core.incidents.tool_services import ToolServices
from crypto_core.reencryption.plan import Verb


def key_tools(services: ToolServices) -> Toolbox:
    """Return what can be done about keys. SCOPE_KNOWN is that of an incident about a key.

    Asks nothing by itself.
    """
    blocking = BlockingSuspects(services)
    keys, emptied, watching = KeyChecks(services), EmptiedChecks(services), WatchingChecks(services)
    checks: dict[CheckKind, IncidentCheck] = {
        kind: partial(rotation_check, services, check) for kind, check in CHECKS.items()
    }
    # Of the first two an incident knows more than a look does: its jobs, and the events of its time.
    checks |= {
        CheckKind.PLATFORM_SWITCHED: watching.platform_switched,
        CheckKind.NOTHING_UNDER_KEY: emptied.nothing_under_key,
        CheckKind.SCOPE_KNOWN: keys.scope_known,
        CheckKind.SUSPECTS_BLOCKED: blocking.suspects_blocked,
        CheckKind.KEY_LOCKED_DOWN: keys.locked_down,
        CheckKind.NOTHING_UNPROTECTED: emptied.nothing_unprotected,
        CheckKind.KEY_QUIET: watching.key_quiet,
        CheckKind.KEY_STATE: keys.key_state,
        CheckKind.COPIES_KNOWN: keys.copies_known,
    }
    return Toolbox(
        actions={
            ActionKind.CREATE_KEY: MakingKey(services),
            ActionKind.BLOCK_SUSPECTS: blocking,
            ActionKind.LOCK_DOWN_KEY: LockingKey(services),
            ActionKind.REENCRYPT: MovingTokens(services, Verb.REENCRYPT),
            ActionKind.ENCRYPT_UNPROTECTED: MovingTokens(services, Verb.ENCRYPT),
            **lifecycle_actions(services),
        },
        checks={kind: key_check(look, services.clock) for kind, look in checks.items()},
        captures=KeyCaptures(services).by_kind(),
    )
