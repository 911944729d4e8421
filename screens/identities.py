"""Who an operator is, as a line has room for it."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from screens.services import Surroundings


def person(actor: str) -> str:
    """Return an identity's short name: ana of …:assumed-role/oncall/ana."""
    identity, _, role = actor.partition(", database role ")
    if role and not identity.startswith("arn:"):
        identity = role  # nobody knows who it was in AWS
    return identity.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1] or "-"


def user_name() -> str:
    """Return what the user is called on this machine, by number where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def noted_by(place: Surroundings | None) -> str:
    """Return who keeps a note here: the AWS identity, without an answer the user of this machine."""
    return place.identity if place and place.identity else user_name()
