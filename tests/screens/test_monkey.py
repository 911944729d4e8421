"""A monkey at the console: keys, pastes, sizes and mouse events faster than any screen follows.

MONKEY_INPUTS=200000 MONKEY_SEED=7 pytest -m deep tests/screens/test_monkey.py plays longer, again the same.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Event as Gate

import psutil
import pytest
from textual import events
from textual.driver import Driver
from textual.geometry import Size
from textual.keys import _character_to_key
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

from console.application.app import NAMES, KeydeckApp
from crypto_core.values.errors import DatabaseUnreachableError
from screens.actions.registry import ACTIONS
from screens.widgets import file_dialog
from tests.screens.deck import MOST_SECONDS, deck
from tests.screens.sample_events import a_day
from tests.screens.samples import HOSTILE, sample_log
from tests.screens.stage import Stage
from tests.screens.stage_incidents import approval, incident_view, key_compromise
from tests.screens.stage_jobs import job_view
from tests.screens.test_context import StageContexts
from tests.screens.test_own_commands import LOOK, TICKET, Own

SEEDS = (1, 2, 3, 4)
INPUTS = int(os.environ.get("MONKEY_INPUTS", "5000"))
AT_REST = 2_500
"""After so many inputs the monkey rests, and what is left of screens left is counted."""
PASTE = 10_000_000
MOST_ALIVE = {Screen: len(NAMES) + 30, Widget: 1_500, Worker: 40}
KEYS = (
    *(key for action in ACTIONS for key in action.keys.split(",")),
    *("enter", "escape", "tab", "shift+tab", "up", "down", "left", "right", "home", "end", "space", "f6"),
    *("backspace", "delete", "ctrl+u", "ctrl+c", "ctrl+q"),
)
LEADING = ("escape", "enter", "down", "right", "tab")
WORDS = (
    *(f":{action.name} 31\n" for action in ACTIONS),
    *(f":{name}\n" for name in NAMES),
    *(f"/{text}\n" for text in ("org:acme", "format:plaintext", "(", "@x")),
    *("alias/tokens\n", "313\n", ":context database archive\n", ":context database default\n"),
)
SIZES = ((120, 40), (80, 24), (120, 40), (200, 60), (20, 5), (1, 1))
MICE = (events.MouseDown, events.MouseUp, events.MouseMove, events.MouseScrollDown, events.MouseScrollUp)


@dataclass
class SlowStage(Stage):
    """Calls take their time, and fail now and then."""

    chance: random.Random = field(default_factory=random.Random)

    def enter(self, name: str, cancelled: Gate | None = None) -> None:
        self.calls.clear()
        (cancelled or Gate()).wait(self.chance.choice((0, 0, 0.002, 0.01, 0.05)))
        if self.chance.random() < 0.03:
            raise DatabaseUnreachableError("No connection to pg-1:5432.")
        super().enter(name, cancelled)


def zoo(chance: random.Random) -> SlowStage:
    """Something on each screen."""
    stage = SlowStage(chance=chance, user_commands=Own((TICKET, LOOK)))
    archive = SlowStage(chance=chance, keys=stage.keys[:1])
    stage.contexts = StageContexts(stage, {"archive": archive})
    stage.events.store.add(a_day())
    stage.incidents.add(key_compromise(), incident_view(8))
    stage.jobs.views.update({number: job_view(number) for number in (31, 32)})
    stage.approvals.add(approval())
    return stage


@dataclass
class Monkey:
    """Throws inputs at an app, the same for the same seed. `thrown` are the last of them."""

    app: KeydeckApp
    chance: random.Random
    thrown: deque[str] = field(default_factory=lambda: deque(maxlen=30))

    @property
    def driver(self) -> Driver:
        assert self.app._driver is not None
        return self.app._driver

    def throw(self) -> int:
        """One burst, at most 40 inputs; returns how many they were."""
        inputs = list(self.burst())
        for words, event in inputs:
            self.thrown.append(words)
            event.set_sender(self.app)
            self.driver.send_message(event)
        return len(inputs)

    def burst(self) -> Iterator[tuple[str, events.Event]]:
        chance = self.chance
        kind = chance.random()
        if kind < 0.6:
            keys = chance.choices(chance.choice((KEYS, KEYS, LEADING)), k=chance.randint(1, 12))
            yield from (pressed(key) for key in keys)
        elif kind < 0.8:
            yield from (pressed("enter" if c == "\n" else c) for c in chance.choice((*WORDS, *HOSTILE))[:40])
        elif kind < 0.84:
            text = chance.choice((*HOSTILE, *WORDS))
            if chance.random() < 0.03:
                text *= PASTE // len(text)
            yield f"paste {text[:20]!r} of {len(text)}", events.Paste(text)
        elif kind < 0.88:
            size = Size(*chance.choice(SIZES))
            self.driver._size = size  # type: ignore[attr-defined]
            yield f"size {size}", events.Resize(size, size)
        else:
            x, y = chance.randrange(130), chance.randrange(45)
            for mouse in chance.choice((MICE[:2], MICE[:2] * 2, chance.choices(MICE, k=6))):
                yield f"{mouse.__name__} {x},{y}", mouse(None, x, y, 0, 1, 1, False, False, False)
                if chance.random() < 0.3:
                    x, y = chance.randrange(130), chance.randrange(45)

    async def pause(self) -> None:
        """Let the console follow: hardly, a little, or until it waits for services."""
        for _ in range(self.chance.choice((0, 1, 3, 30))):
            await asyncio.sleep(0)
        if self.chance.random() < 0.15:
            await asyncio.sleep(self.chance.choice((0.005, 0.03, 0.1)))
        async with asyncio.timeout(MOST_SECONDS):
            while self.app._message_queue.qsize() > 100:
                await asyncio.sleep(0)


def pressed(key: str) -> tuple[str, events.Event]:
    one = len(key) == 1
    return repr(key), events.Key(
        _character_to_key(key) if one else key, key if one else "\r" if key == "enter" else None
    )


def alive() -> dict[str, int]:
    """How many widgets, screens among them, and workers there are."""
    gc.collect()
    types = Counter(map(type, gc.get_objects()))
    return {kind.__name__: sum(n for one, n in types.items() if issubclass(one, kind)) for kind in MOST_ALIVE}


@pytest.mark.deep
@pytest.mark.slow(60)
@pytest.mark.parametrize("seed", [int(os.environ["MONKEY_SEED"])] if "MONKEY_SEED" in os.environ else SEEDS)
async def test_no_haste_ends_the_console_and_nothing_is_left_of_screens_left(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(file_dialog, "expanded", lambda text: tmp_path / text.replace("/", "_")[-60:])
    monkeypatch.setattr(KeydeckApp, "_end", lambda *_: None)
    chance = random.Random(seed)
    stage = zoo(random.Random(seed))
    counts: list[dict[str, int]] = []
    thrown = 0
    async with deck(stage, size=SIZES[0], log=sample_log()) as d:
        monkey = Monkey(d.app, chance)
        try:
            while thrown < INPUTS:
                until = thrown + AT_REST
                while thrown < until:
                    thrown += monkey.throw()
                    await monkey.pause()
                    d.clock.pass_(0.3)
                    assert d.app.is_running
                    assert d.app._exception is None
                d.app.post_message(events.MouseUp(None, 0, 0, 0, 0, 1, False, False, False))
                for name in NAMES:
                    for _ in range(50):
                        if len(d.app.screen_stack) > 1:
                            await d.press("escape")
                    assert len(d.app.screen_stack) == 1, d.app.screen_stack
                    await d.app.navigation.go(name)
                await d.settle()
                assert not any(s._auto_select_scroll_timer for s in chain(*d.app._screen_stacks.values()))
                counts.append(alive())
                print(thrown, *counts[-1].items(), psutil.Process().memory_info().rss // 1_000_000, "MB")
        except BaseException:  # raised again below: says where it was
            print(f"Seed {seed}, after {thrown} inputs; the last: {'  '.join(monkey.thrown)}")
            print(
                d.app.screen_stack,
                [worker for worker in d.app.workers if not worker.is_finished],
                d.app._resize_timer,
            )
            raise
    # Thousands of screens were opened: all but the main ones and the last few are gone.
    for kind, most in MOST_ALIVE.items():
        assert max(count[kind.__name__] for count in counts) <= most
