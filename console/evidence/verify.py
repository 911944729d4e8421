"""keydeck evidence verify: whether a pack is what was signed, and says what its records give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import click

from console.commands.output_options import json_option
from console.commands.session import loaded, services_of
from console.printed.output import print_answer, print_line, say
from crypto_core.aws.public_keys import PublicKeys, public_key
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.pack.verification import PackCheck, Recomputer, TrustedKey, verify_pack
from crypto_core.compliance.proof.pack import PackedFolder, UnreadablePackError
from crypto_core.database.state.anchors.append_file import kept_in
from crypto_core.database.state.anchors.time_stamps import read_roots
from crypto_core.proof.forms import Anchor
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import SettingsError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_LARGEST_KEY = 65_536


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--public-key",
    "keys",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="The signing key's public key, from aws kms get-public-key: got elsewhere, not from the pack.",
)
@click.option(
    "--anchors",
    "anchor_files",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="Anchors or checkpoints of the journal that were kept elsewhere.",
)
@click.option(
    "--tsa-certificates",
    type=_FILE,
    metavar="FILE",
    help="The roots by which time stamps are verified, in PEM.",
)
@json_option
def verify(
    *,
    folder: Path,
    keys: tuple[Path, ...],
    anchor_files: tuple[Path, ...],
    tsa_certificates: Path | None,
    as_json: bool,
) -> int:
    """Check DIR, an evidence pack: every file, the signature, records, journal, and what documents say.

    With --public-key it asks nobody. Without, the key of KEYDECK_SIGNING_KEY verifies by KMS; where none is
    set, the key in the pack shows only that all fits together. Exit 0 if it is proved, 1 if something is
    wrong, 3 if it can't be read or signatures could not be checked.
    """
    kept = [one for file in anchor_files for one in kept_in(file)]
    try:
        with _trusted(keys) as key:
            check = verify_pack(
                PackedFolder(folder),
                key,
                Recomputer(ControlLibrary(_own_controls()).read, version("keydeck")),
                anchors=[one for one in kept if isinstance(one, Anchor)],
                roots=read_roots(tsa_certificates) if tsa_certificates else None,
                also=[one for one in kept if not isinstance(one, Anchor)],
            )
    except UnreadablePackError as error:
        say(clean(error, 600))
        return 3
    print_answer(check, _print, as_json=as_json)
    if check.problems:
        return 1
    return 0 if check.proved else 3


@contextmanager
def _trusted(files: tuple[Path, ...]) -> Iterator[TrustedKey | None]:
    """Give what verifies signatures: keys in files, or KMS; None for the pack's own key."""
    if files:
        found = [public_key(file.read_bytes()[:_LARGEST_KEY], str(file)) for file in files]
        yield TrustedKey(PublicKeys(found), f"the file {files[0]}")
        return
    try:
        configured = loaded().settings
    except SettingsError:
        configured = None
    if configured is None or not configured.signing_key or not configured.database_url:
        yield None
        return
    with services_of() as services:
        yield TrustedKey(services.checkpoints.require_signer(), "KMS, by KEYDECK_SIGNING_KEY")


def _own_controls() -> str:
    """Where the team's own catalogues are, "" for none."""
    from console.evidence.settings import EvidenceSettings

    try:
        return EvidenceSettings.of(loaded().settings).controls
    except SettingsError:
        return ""


def _print(check: PackCheck) -> None:
    for problem in check.problems:
        print_line(problem)
    days = f"{check.since} to {check.until}" if check.since else "an unknown period"
    if check.proved:
        print_line(f"Evidence from {days}, made at {check.made_at}: this is the signed content.")
    elif not check.problems:
        print_line(f"Evidence from {days}: nothing is wrong, and nothing is proved.")
        say(check.unproved)
    if check.sha256:
        print_line(f"sha256     {check.sha256}")
    if check.key_arn:
        print_line(f"signed by  {check.key_arn} ({check.algorithm})")
    if check.key_from:
        print_line(f"verified   by {check.key_from}")
    holds = (
        counted(check.files, "file"),
        counted(check.records, "record"),
        f"{check.entries:,} entries of the journal",
    )
    print_line(f"holds      {', '.join(holds)}")
    if check.anchored:
        print_line(f"signed up  to entry {check.anchored:,} of the journal, by a checkpoint")
    for one in check.kept_outside:
        print_line(f"fixed      {one}")
    if check.recomputed:
        print_line(f"made again from the records, and the same: {', '.join(check.recomputed)}")
    for one in check.remarks:
        say(one)
