"""The stories, a TOML file each in `stories`."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from console.game_day import GAMES
from console.game_day.scenario import Act, End, Move, Past, Persona, Scenario
from crypto_core.text.toml_reading import read_toml


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
