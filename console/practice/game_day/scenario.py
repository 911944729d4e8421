"""What a game day is made of: who the intruder is, what it does when, and what has to be reached."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any, Literal

from console.practice.game_day import GAMES
from console.sandbox.endpoint import ACCOUNT
from console.sandbox.traffic import Caller
from crypto_core.lists.toml_fields import read_toml


class Act(StrEnum):
    LOOK = "look around"
    READ = "read the database"
    OPEN = "open tokens"
    SEAL = "make data keys"
    GRANT = "grant itself access"
    LET_IN = "change the key's policy"
    BLIND = "stop the trail"
    DISABLE = "disable the key"
    DELETE = "schedule the key's deletion"
    USE = "use stolen tokens"


class End(StrEnum):
    """What has to hold when the game is over. The sandbox is looked at, never the operator asked."""

    SHUT_OUT = "shut-out"
    """Every way in that the intruder has is refused."""
    NOTHING_UNDER_KEY = "nothing-under-key"
    """No token is under the compromised key."""
    KEY_DISABLED = "key-disabled"
    """The compromised key is disabled, or waits for its deletion."""
    KEY_USABLE = "key-usable"
    """The key is enabled again, and no deletion waits."""
    PLATFORM_WORKS = "platform-works"
    """The platform makes and opens data keys under the key that most tokens are under."""
    NOTHING_DELETED = "nothing-deleted"
    """No key waits for its deletion that did not when the game began."""
    TOKENS_OPEN = "tokens-open"
    """Every token opens that was sound before."""
    TOKENS_SEALED_ANEW = "tokens-sealed-anew"
    """What the intruder opened is replaced, or sealed with another data key."""
    TOKENS_REPLACED = "tokens-replaced"
    """No token that the intruder holds is stored any more, and what took its place is sealed."""
    TOKENS_DEAD = "tokens-dead"
    """The providers take none of the tokens that the intruder holds."""


@dataclass(frozen=True, slots=True)
class Persona:
    """One identity that the intruder works with, as CloudTrail shows it.

    `database` is True for whom the story gives the platform's database as well.
    """

    name: str
    access_key: str
    kind: Literal["role", "user"]
    address: str
    agent: str
    session: str | None = None
    database: bool = False

    @property
    def arn(self) -> str:
        """ARN of the user or role, without a session: what policies, grants and findings name."""
        return f"arn:aws:iam::{ACCOUNT}:{self.kind}/{self.name}"

    @property
    def caller(self) -> Caller:
        return Caller(self.access_key, self.address, self.agent)


@dataclass(frozen=True, slots=True)
class Move:
    """One move: `at` seconds after the intruder begins, `times` calls, one every `every` seconds.

    `to` names the persona that a grant is for.
    """

    at: float
    act: Act
    by: str
    times: int = 1
    every: float = 0.0
    to: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """Calls of KMS before the game, of a persona, or with `by` "" of the platform itself.

    `nights_ago` 0 is last night; `hour` and `minute` are UTC.
    """

    by: str
    operation: str
    nights_ago: int
    hour: int
    minute: int
    times: int
    every: float
    address: str = ""
    """Where they came from; "" for the caller's own address."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story. `briefing` is what the operator is told, `first` which keys to press first.

    After its moves the intruder goes on with `aim` every `again` seconds, by whichever persona is let in.
    `opens_column` bounds what it reads to one token column, and to one organisation; `keeps_tokens` says
    that it keeps what it opened.
    """

    id: str
    title: str
    runbook: str
    briefing: tuple[str, ...]
    first: tuple[str, ...]
    personas: tuple[Persona, ...]
    moves: tuple[Move, ...]
    aim: tuple[Act, ...]
    again: float
    ends: tuple[End, ...]
    findings: tuple[str, ...]
    """The rules by which a responder notices."""
    detect_seconds: int
    """How soon it should be noticed, where the runbook has no budget for it."""
    past: tuple[Past, ...] = ()
    opens_column: str = ""
    keeps_tokens: bool = False

    def persona(self, name: str) -> Persona:
        for persona in self.personas:
            if persona.name == name:
                return persona
        raise KeyError(name)


def _read(name: str) -> Scenario:
    raw = read_toml(files(__package__).joinpath("stories", f"{name}.toml").read_bytes())
    past = [one | {"nights_ago": night} for one in raw.get("past", ()) for night in one["nights_ago"]]
    moves = [Move(**one | {"act": Act(one["act"])}) for one in raw["moves"]]
    kinds: dict[str, list[Any]] = {
        "personas": [Persona(**one) for one in raw["personas"]],
        "moves": moves,
        "past": [Past(**one) for one in past],
        "aim": [Act(one) for one in raw["aim"]],
        "ends": [End(one) for one in raw["ends"]],
    }
    fields: dict[str, Any] = raw | kinds
    fields |= {of: tuple(given) for of, given in fields.items() if isinstance(given, list)}
    return Scenario(**fields, id=name)


SCENARIOS: dict[str, Scenario] = {name: _read(name) for name in GAMES}
