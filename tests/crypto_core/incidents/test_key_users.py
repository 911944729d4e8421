"""Who used a key, and who makes data keys for itself."""

from __future__ import annotations

from pathlib import Path

from crypto_core.incidents.key_users import key_users
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import ACCOUNT, KEY, NOW, read, record, role

BACKUP = "AWSServiceRoleForBackup"


def test_what_an_aws_service_makes_with_its_own_role_makes_no_platform_of_it(tmp_path: Path) -> None:
    makes = [record("GenerateDataKey", who=role(name, f"{name}-1"), ago=60) for name in ("api", BACKUP)]
    store = EventStore(tmp_path / "events.sqlite", clock=lambda: NOW)
    store.add([read(one) for one in (*makes, record("Decrypt", who=role(BACKUP, "b-1"), ago=30))])
    users = key_users(store, (KEY,), NOW).by_arn
    store.close()
    made = {arn.rpartition("/")[2]: (one.sealed, one.calls, one.first_sealed) for arn, one in users.items()}
    assert made == {"api": (1, 1, users[f"arn:aws:iam::{ACCOUNT}:role/api"].first), BACKUP: (0, 2, None)}
