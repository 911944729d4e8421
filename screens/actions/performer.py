"""Performs actions: who handles one, whether it is available now, and its keys."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Iterator
from functools import partialmethod
from inspect import isawaitable
from pkgutil import resolve_name
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen

from screens.actions.action import Action
from screens.actions.registry import BY_ID, BY_SCOPE


@runtime_checkable
class Host(Protocol):
    """What the app tells actions."""

    @property
    def read_only(self) -> bool: ...

    def tell(self, message: str, *, trouble: bool = False) -> None: ...


class Actor:
    """Mixed into what can do actions: the app, screens, lists. It has a method `do_…` for each of them."""

    ACTS: ClassVar[tuple[str, ...]] = ()
    """The scopes whose actions it can do: it binds their keys, too."""
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init_subclass__(cls, **more: Any) -> None:
        own = cls.__dict__
        keys = [binding for scope in own.get("ACTS", ()) for binding in bindings(scope)]
        for action in (action for scope in own.get("ACTS", ()) for action in BY_SCOPE[scope] if action.runs):
            setattr(cls, action.method, partialmethod(_run, action.runs))
        if keys:
            cls.BINDINGS = [*keys, *own.get("BINDINGS", ())]
        super().__init_subclass__(**more)

    def possible(self, action: Action) -> bool | None:
        """True if the action can be done now, None if not now (it's greyed), False if it isn't offered."""
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "perform":
            return self.possible(BY_ID[str(parameters[0])])
        return cast(DOMNode, super()).check_action(action, parameters)

    async def action_perform(self, id_: str) -> None:
        await perform(self, BY_ID[id_])

    def say(self, message: str, *, trouble: bool = False) -> None:
        cast(Host, cast(DOMNode, self).app).tell(message, trouble=trouble)


def _run(actor: Actor, path: str, *arguments: str) -> Any:
    return resolve_name(path)(actor, *arguments)


async def perform(actor: Actor, action: Action, argument: str = "") -> bool:
    """Do an action; returns whether it was begun. Read only, what changes anything is refused."""
    host = cast(Host, cast(DOMNode, actor).app)
    if action.changes and host.read_only:
        host.tell(f"Read-only: {action.title} is refused.", trouble=True)
        return False
    if not actor.possible(action):
        host.tell(f"{action.title.capitalize()}: not available here, nothing is selected.")
        return False
    if argument and not action.argument:
        host.tell(f":{action.name} takes no argument.", trouble=True)
        return False
    method: Any = getattr(actor, action.method)
    result = method(argument) if action.argument else method()
    await (result if isawaitable(result) else sleep(0))  # a worker opens its dialog before the next key
    return True


def bindings(scope: str) -> list[Binding]:
    """Return the keys of a scope's actions. Their ids are the actions', so settings can give them others."""
    return [
        Binding(
            action.keys,
            f"perform({action.id!r})",
            action.title,
            show=action.shown,
            key_display=action.display or None,
            tooltip=action.explanation,
            id=action.id,
        )
        for action in BY_SCOPE[scope]
    ]


def within_reach(screen: Screen[Any]) -> Iterator[tuple[Actor, Action]]:
    """Yield what can be done on a screen and by whom: what has the focus first, the app last."""
    nodes: list[object] = []
    if screen.focused is not None:
        nodes += screen.focused.ancestors_with_self
    nodes += [node for node in screen.walk_children() if isinstance(node, Actor) and node.is_on_screen]
    nodes += [screen, screen.app]
    seen: set[str] = set()
    for node in dict.fromkeys(nodes):
        if not isinstance(node, Actor):
            continue
        for scope in node.ACTS:
            for action in BY_SCOPE[scope]:
                if action.id not in seen and node.possible(action) is not False:
                    seen.add(action.id)
                    yield node, action
