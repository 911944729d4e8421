"""Other keys for actions, as the settings file gives them: `[keys]`, an action's id and its keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from textual.keys import KEY_TO_UNICODE_NAME, Keys, _character_to_key

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from screens.actions.registry import ACTIONS, BY_ID, BY_SCOPE
from screens.main_screens import MAIN_SCREENS
from screens.user_command import UserCommand

_NAMED = (
    {key.value for key in Keys}
    | set(KEY_TO_UNICODE_NAME)
    | {_character_to_key(chr(c)) for c in range(32, 127)}
)
"""Names of keys: Textual's own, and those of ASCII's signs, such as slash."""


def checked_keys(keys: Mapping[str, str]) -> dict[str, str]:
    """Return the keys by action id. Raises SettingsError for an unknown action, for what is no
    key, and for a key that two actions share.

    Two actions may share a key only where they are never in reach together: on different screens.
    """
    for id_, given in keys.items():
        if id_ not in BY_ID:
            raise SettingsError(
                f"Setting keys: there is no action {clean(id_, 60)!r}.",
                remedy=f"Actions: {', '.join(action.id for action in ACTIONS)}.",
            )
        for key in given.split(","):
            if not _is_key(key.strip()):
                raise SettingsError(
                    f"Setting keys, {id_}: {clean(key, 40)!r} is not a key.",
                    remedy="Write one character, or a name such as f5, ctrl+r, space, pagedown.",
                )
    taken: dict[tuple[str, str], str] = {}
    for action in ACTIONS:
        screens = _SHARED.get(action.scope, (action.scope,))
        for key in keys.get(action.id, action.keys).split(","):
            for screen in screens:
                other = taken.setdefault((screen, _whole_name(key.strip())), action.id)
                if other != action.id and (action.id in keys or other in keys):
                    raise SettingsError(
                        f"Setting keys: {action.id} and {other} share the key {key.strip()!r}.",
                        remedy="Give one of them another key.",
                    )
    return dict(keys)


def check_commands(commands: Iterable[UserCommand], keys: Mapping[str, str]) -> None:
    """Raise SettingsError for a command of the team's own whose key is none, or is taken where it is offered.

    `keys` are those that the settings give to actions. Two commands of one name on a list are refused, too.
    """
    taken = {
        (screen, _whole_name(key.strip())): action.id
        for action in ACTIONS
        for screen in _SHARED.get(action.scope, (action.scope,))
        for key in keys.get(action.id, action.keys).split(",")
    }
    names: set[tuple[str, str]] = set()
    for command in commands:
        if command.key and not _is_key(command.key):
            raise SettingsError(f"Setting user_commands, {command.name}: {command.key!r} is not a key.")
        for where in command.lists:
            if (where, command.name) in names:
                raise SettingsError(f"Setting user_commands: two are named {command.name} on {where}.")
            names.add((where, command.name))
            if not command.key:
                continue
            other = taken.setdefault((where, _whole_name(command.key)), command.name)
            if other != command.name:
                about = f"Setting user_commands, {command.name}"
                raise SettingsError(
                    f"{about}: on {where}, {command.key!r} is the key of {other}.",
                    remedy="Give it another key, such as ctrl+t or f6, or none: ! lists your commands.",
                )


_WIDER = ("everywhere", "list", "table", "blocking")
_SCREENS = {*BY_SCOPE, *(own.name for own in MAIN_SCREENS), "page of the manual"}.difference(_WIDER)
_SHARED: Mapping[str, Collection[str]] = {
    "everywhere": _SCREENS,
    "list": _SCREENS,
    "table": (*(own.name for own in MAIN_SCREENS if own.table), "manual"),
    "key": ("keys", "key"),
    "job": ("jobs", "job"),
    "manual": ("page of the manual",),
    "blocking": ("principal", "events", "event", "findings", "incident"),
}
"""The screens on which the actions of a wider scope are in reach."""


def _whole_name(key: str) -> str:
    """A key by Textual's name: "?" is question_mark."""
    return _character_to_key(key) if len(key) == 1 else key


def _is_key(key: str) -> bool:
    *modifiers, name = key.split("+") if len(key) > 1 else [key]
    if not set(modifiers) <= {"ctrl", "shift", "alt", "meta", "super"}:
        return False
    return (len(name) == 1 and name.isprintable()) or name in _NAMED or key in _NAMED
