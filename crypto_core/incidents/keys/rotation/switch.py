"""The platform gets its new key, and uses it.

An alias is moved in KMS (API reference, UpdateAlias), in one Region; a key ARN is changed where the platform
is configured. What another process was given can't be seen from here: its effect can.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from crypto_core.incidents.keys.rotation.look import ResolvedKey, RotationLook
from crypto_core.incidents.keys.rotation.verdict import Instruction, RotationVerdict, command, note, setting
from crypto_core.incidents.model import CheckState
from crypto_core.keys.changes.key_reader import list_under
from crypto_core.keys.state import KeyState, LastUse, last_use_since
from crypto_core.values.counts import counted
from crypto_core.values.key_names import parse_key_name, region_of, same_key
from crypto_core.values.moments import in_utc

RESTART = (
    "Processes that use crypto_core hold an alias to the key that it named first, and refuse another: "
    "restart every instance once it is moved."
)
OWN_SETTING = "This is Keydeck's own setting. What the platform was given shows in the next step."
NOT_KNOWN = "Whether data keys were made under the old key since is not known from KMS"


def names_switched(look: RotationLook) -> RotationVerdict:
    """Pass if the configured names mean the new key; else the exact lines that make them."""
    new = look.successor
    if new is None:
        return RotationVerdict(CheckState.NOT_YET)
    names = [name for name in (look.write, look.alias) if name is not None]
    evidence = [_means(look, name) for name in names]
    if look.write is None:
        evidence.append("TOKEN_ENCRYPTION_KEY_ID is not set here")
    left = [n for n in names if n.key_arn is None or not same_key(n.key_arn, new.key_arn)]
    listed, untold = list_under(look.reader.list_key, look.old.key_arn)
    if listed:
        evidence.append("The list of tripwires is sealed under the old key")
    warnings = [*_warnings(look, new), *untold]
    if not left and look.write is not None and not listed:
        return RotationVerdict(CheckState.PASSED, tuple(evidence), (), (OWN_SETTING, *warnings))
    do = [*_do(look, new, left)]
    if not is_trusted(look):
        do.insert(0, trust(look))
    if any(i.text.startswith("keydeck keys alias") for i in do):
        do.append(note("Restart every instance of the platform."))
        warnings.append(RESTART)
    if listed:
        do.append(command("keydeck tripwire reseal"))
    unknown = any(name.trouble for name in left)
    state = CheckState.UNKNOWN if unknown else CheckState.NOT_YET
    return RotationVerdict(state, tuple(evidence), tuple(do), tuple(warnings))


def platform_switched(look: RotationLook) -> RotationVerdict:
    """Pass if the platform seals under the new key, and no longer under the old one, by the database."""
    new, old = look.successor, look.old
    if new is None:
        return RotationVerdict(CheckState.NOT_YET)
    written, status = look.counted, look.counted.status
    evidence = [f"New key: {_use(new)}"]
    olds = (old, *look.old_replicas)
    evidence += [f"Old key{f' in {region_of(s.key_arn)}' if s is not old else ''}: {_use(s)}" for s in olds]
    if written.trouble or status is None:
        evidence.append(f"Not known what was written: {written.trouble}")
        return RotationVerdict(CheckState.UNKNOWN, tuple(evidence))
    evidence.append(f"Census: {counted(status.tokens_under(new.key_arn), 'token')} under the new key")
    evidence += [f"Not counted: {gap}" for gap in written.tokens.gaps]
    if look.old_use is not None:
        evidence.append(f"Old key, {look.old_use}")
    if written.unknown:
        evidence.append(f"Not known who wrote what is under the new key: {written.unknown}")
        return RotationVerdict(CheckState.UNKNOWN, tuple(evidence))
    if not written.connections:
        evidence.append(
            "No connection made since has a token under the new key, but for what Keydeck wrote itself"
            + (f" (since {in_utc(written.since)})" if written.since else "")
        )
        return RotationVerdict(CheckState.NOT_YET, tuple(evidence))
    number = counted(written.connections, "connection")
    evidence.append(
        f"{number} made under the new key since {in_utc(written.since)}, last {in_utc(written.newest_at)}"
    )
    if still := [*_still(look, olds, written.since)]:
        do = (note("Give every instance of the platform the new key and restart it."),)
        return RotationVerdict(CheckState.NOT_YET, (*evidence, *still), do)
    evidence.append(f"No connection made under the old key since {in_utc(written.since)}")
    if blind := [*_blind(olds, written.since)]:
        do = (note("Whether data keys are still made under the old key is not known."),)
        return RotationVerdict(CheckState.UNKNOWN, (*evidence, *blind), do)
    proved = look.old_use is not None and look.old_use.proves_no_use
    silences = () if proved else dict.fromkeys(last_use_since(s, written.since) for s in olds)
    warnings = tuple(f"{NOT_KNOWN}: {use}. CloudTrail has them all." for use in silences)
    return RotationVerdict(CheckState.PASSED, tuple(evidence), (), warnings)


def is_trusted(look: RotationLook) -> bool:
    """True if the old key may be read with, whatever becomes of the key to write under.

    A name counts as long as it goes on meaning the old key: an alias that is to be moved does not.
    """
    moving = {name.alias for name in (look.write, look.alias) if name is not None and name.alias}
    return any(
        name.key_arn is not None
        and same_key(name.key_arn, look.old.key_arn)
        and parse_key_name(name.name).alias not in moving
        for name in look.trusted
    )


def trust(look: RotationLook) -> Instruction:
    now = ",".join(name.name for name in look.trusted)
    line = ",".join([*(name.name for name in look.trusted), look.old.key_arn])
    return setting(f"KEYDECK_TRUSTED_KEYS={line}", f"KEYDECK_TRUSTED_KEYS={now}" if now else "")


def _means(look: RotationLook, name: ResolvedKey) -> str:
    variable = "KEYDECK_WRITE_ALIAS" if name is look.alias else "TOKEN_ENCRYPTION_KEY_ID"
    if name.key_arn is None:
        return f"{variable} is {name.name}: which key that means is not known: {name.trouble}"
    if look.new and same_key(name.key_arn, look.new.key_arn):
        which = "the new key"
    else:
        which = (
            "the old key" if same_key(name.key_arn, look.old.key_arn) else f"{name.key_arn}, neither of both"
        )
    return f"{variable} is {name.name}: {which}"


def _do(look: RotationLook, new: KeyState, left: list[ResolvedKey]) -> Iterator[Instruction]:
    moved = set()
    for name in left:
        there = region_of(name.key_arn or "") in (None, new.region)
        if name.alias and there and name.alias not in moved:
            moved.add(name.alias)
            yield command(f"keydeck keys alias {name.alias} {new.key_arn}")
        elif not name.alias or (not there and name is look.write):
            yield setting(f"TOKEN_ENCRYPTION_KEY_ID={new.key_arn}", f"TOKEN_ENCRYPTION_KEY_ID={name.name}")
        elif name.alias not in moved:
            yield note(f"{name.alias} is of another Region than the new key and can't be pointed at it.")
    if look.write is None:
        yield setting(f"TOKEN_ENCRYPTION_KEY_ID={new.key_arn}")


def _warnings(look: RotationLook, new: KeyState) -> Iterator[str]:
    configured = {name.alias for name in (look.write, look.alias) if name is not None}
    others = [alias for alias in look.old.aliases if alias not in configured]
    if others:
        yield f"A platform that names the old key by {', '.join(others)} keeps using it."
    regions = {region_of(arn) for arn in (*look.old.replica_arns, look.old.primary_arn or "")} - {new.region}
    if regions - {None} and any(configured):
        told = ", ".join(sorted(region for region in regions if region))
        yield f"An alias is of one Region: one of the same name in {told} is not moved."


def _still(look: RotationLook, olds: tuple[KeyState, ...], since: datetime | None) -> Iterator[str]:
    if look.old_use is not None and look.old_use.seals:
        yield (
            f"{look.old_use.seals:,} times something was sealed under the old key since, the last at "
            f"{in_utc(look.old_use.last_seal_at)} (CloudTrail). If a rollout ended later, say when: --since"
        )
    if under_old := look.counted.under_old:
        yield (
            f"{counted(under_old, 'token')} of connections made since are under the old key. If "
            "a rollout ended later, say when: --since"
        )
    for state in olds:
        if last_use_since(state, since) is LastUse.SEALED:
            yield (
                f"{state.last_used_for} under the old key at {in_utc(state.last_used_at)}, after "
                f"{in_utc(since)}: it is still used to seal. If a rollout ended later, say when: --since"
            )


def _blind(olds: tuple[KeyState, ...], since: datetime | None) -> Iterator[str]:
    for state in olds:
        use = last_use_since(state, since)
        if use in (LastUse.UNREAD, LastUse.UNTRACKED):
            yield f"Not known: last use of {state.key_arn}: {_unread(state) or use}"


def _unread(state: KeyState) -> str:
    """Why KMS did not say when the key was used; of one that could not be asked about, why not."""
    return state.missing.get("last use") or state.missing.get("state", "")


def _use(state: KeyState) -> str:
    if why := _unread(state):
        return f"last use is not known: {why}"
    if state.last_used_at:
        return f"last used {in_utc(state.last_used_at)} for {state.last_used_for}; KMS does not say by whom"
    if state.use_tracked_since:
        return f"not used since {in_utc(state.use_tracked_since)}, as far as KMS has reported it"
    return "KMS does not report its last use"
