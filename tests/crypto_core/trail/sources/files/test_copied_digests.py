"""A local copy of a trail's files, held against the digests beside it; and which time an import covers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from crypto_core.trail.columns import moment
from crypto_core.trail.coverage_record import CoverageRecord
from crypto_core.trail.sources.digest_files import keys_in_file, keys_of
from crypto_core.trail.sources.files.copied_digests import CopyValidation, validate_copies
from crypto_core.trail.sources.files.event_files import FileImport
from crypto_core.trail.sources.files.import_report import cover_by_names, cover_proved
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import PullBook
from crypto_core.values.key_names import AccountRegion
from tests.crypto_core.trail.sources.amazon import ACCOUNT, HERE, dated, log_file
from tests.crypto_core.trail.sources.bucket.digest_chain import KEY, OTHER_KEY, Chain, public

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOURS = 4
PLACE = AccountRegion(ACCOUNT, HERE)


@pytest.fixture
def chain(folder: Path) -> Chain:
    """A copy of some hours of deliveries, two files each; the newest digest is vouched for by none."""

    def write(key: str, body: bytes, Metadata: Mapping[str, str] | None = None) -> str:  # noqa: N803
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return key

    made = Chain("trail", write)
    for hour in range(HOURS):
        made.hour(NOON + timedelta(hours=hour))
    return made


def validated(folder: Path, keys: Any = None) -> CopyValidation:
    found: dict[str, RSAPublicKey] | str = keys_of([public(KEY)]) if keys is None else keys
    return validate_copies([folder], lambda _region, _since, _until: found)


def test_a_copy_that_is_whole_is_proved_up_to_the_last_digest_that_another_vouches_for(
    chain: Chain, folder: Path
) -> None:
    found = validated(folder)
    assert (found.proved, found.unsigned, found.digests) == (2 * (HOURS - 1), 2, HOURS - 1)
    assert found.well
    ((place, window),) = found.windows
    assert place == PLACE
    assert moment(window.since) == NOON - timedelta(hours=1)
    assert moment(window.until) == NOON + timedelta(hours=HOURS - 2, minutes=-15)
    assert "no later digest vouches for it" in found.notes[0]
    assert found.as_json()["files"]["proved"] == 6


def test_files_are_known_by_their_names_wherever_they_lie_also_unpacked(chain: Chain, folder: Path) -> None:
    whole = folder / chain.logs[0]
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / whole.name.removesuffix(".gz")).write_bytes(gzip.decompress(whole.read_bytes()))
    whole.unlink()
    assert validated(folder).proved == 6


@pytest.mark.parametrize(
    ("harm", "counts", "told"),
    [
        (lambda p: p.write_bytes(log_file(dated(NOON))), (5, 1, 0), "its content was changed after delivery"),
        (lambda p: p.write_bytes(p.read_bytes()[:-9]), (5, 1, 0), "its content was changed after delivery"),
        (Path.unlink, (5, 0, 1), "it is not here"),
        (lambda p: p.rename(p.parent / f".{p.name}"), (5, 0, 1), "it is not here"),
    ],
)
def test_what_was_altered_or_is_missing_is_named_and_its_hour_is_not_covered(
    chain: Chain, folder: Path, harm: Callable[[Path], Any], counts: tuple[int, ...], told: str
) -> None:
    harm(folder / chain.logs[2])
    found = validated(folder)
    assert (found.proved, found.altered, found.missing) == counts
    assert Path(chain.logs[2]).name in found.problems[0]
    assert told in found.problems[0]
    assert not found.well
    assert [moment(w.until) - moment(w.since) for _, w in found.windows] == [timedelta(minutes=45)] * 2


def test_a_file_that_no_digest_names_is_not_covered(chain: Chain, folder: Path) -> None:
    forged = folder / f"{chain.logs[0][:-12]}{'f' * 4}.json.gz"
    forged.write_bytes(log_file(dated(NOON)))
    found = validated(folder)
    assert (found.not_covered, found.proved) == (1, 6)


def test_a_copy_with_a_folder_that_cannot_be_listed_is_not_well(
    chain: Chain, folder: Path, unlisted: Path
) -> None:
    found = validated(folder)
    assert found.proved == 6
    assert found.problems == (f"{unlisted}: Permission denied",)


def test_a_digest_that_was_changed_missing_or_signed_by_others_proves_nothing(
    chain: Chain, folder: Path
) -> None:
    other = keys_of([public(OTHER_KEY)])
    assert (validated(folder, other).proved, validated(folder, other).digests_invalid) == (0, 3)
    path = folder / chain.digests[1]
    document = json.loads(gzip.decompress(path.read_bytes()))
    document["logFiles"] = []
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    found = validated(folder)
    assert (found.proved, found.not_covered) == (4, 2)
    assert "is another one than it was" in found.problems[0]
    path.unlink()
    found = validated(folder)
    # With it the signature of the one before it is gone, too.
    assert (found.proved, found.digests_missing, found.unsigned) == (2, 1, 4)
    path.write_bytes(b"no digest")
    assert validated(folder).digests_invalid == 1
    path.unlink()
    path.symlink_to("/dev/zero")
    assert validated(folder).digests_invalid == 1


def test_without_public_keys_hashes_are_compared_and_nothing_is_proved(chain: Chain, folder: Path) -> None:
    found = validated(folder, "\x1b[31mno credentials[/red]")
    assert (found.proved, found.unsigned, found.well, found.windows) == (0, 8, False, ())
    assert found.notes[0] == f"{PLACE}: no public keys, so nothing is proved: [31mno credentials[/red]"


def test_without_digests_nothing_is_proved(folder: Path) -> None:
    found = validated(folder)
    assert not found.well
    assert "no digest files" in found.problems[0]


def test_public_keys_are_read_from_what_the_command_line_prints(tmp_path: Path) -> None:
    import base64

    path = tmp_path / "keys.json"
    key = public(KEY)
    path.write_text(json.dumps({"PublicKeyList": [key | {"Value": base64.b64encode(key["Value"]).decode()}]}))
    assert isinstance(keys_in_file(path), dict)
    for content in ("", "[]", "{}", '{"PublicKeyList": 5}', '{"PublicKeyList": [{"Value": "x"}]}'):
        path.write_text(content)
        assert isinstance(keys_in_file(path), str)
    assert isinstance(keys_in_file(tmp_path / "none"), str)


def test_what_digests_prove_is_covered_and_file_names_are_said_beside(
    chain: Chain, folder: Path, store: EventStore
) -> None:
    book, now = PullBook(store.file), NOON + timedelta(days=3)
    record = CoverageRecord(store, lambda: (HERE,), clock=lambda: now)
    report = FileImport(store).import_files([folder])
    cover_by_names(book, report.named, now)
    first, last = NOON - timedelta(minutes=30), NOON + timedelta(hours=2, minutes=15)
    assert not record.coverage_of(first, last).complete
    cover_proved(book, validated(folder), report.named, now)
    assert record.coverage_of(NOON - timedelta(hours=1), NOON + timedelta(minutes=100)).complete
    (reason,) = record.coverage_of(first, last).reasons
    assert "imported, by file names, from 2026-11-25 13:45 to 2026-11-25 14:15" in reason
    assert report.as_json()["by_file_names"] == [
        {
            "account": ACCOUNT,
            "region": HERE,
            "since": "2026-11-25T11:30:00+00:00",
            "until": "2026-11-25T14:15:00+00:00",
        }
    ]


def test_a_folder_that_grew_covers_from_where_it_ended_and_a_failed_file_covers_nothing(
    chain: Chain, folder: Path, store: EventStore
) -> None:
    FileImport(store).import_files([folder])
    assert FileImport(store).import_files([folder]).named.windows() == {}
    chain.hour(NOON + timedelta(hours=HOURS))
    named = FileImport(store).import_files([folder]).named
    (window,) = named.windows().values()
    assert moment(window.since) == NOON + timedelta(hours=2, minutes=15)
    chain.hour(NOON + timedelta(hours=HOURS + 1))
    (folder / chain.logs[-1]).write_bytes(b"{")
    assert FileImport(store).import_files([folder]).named.windows() == {}
