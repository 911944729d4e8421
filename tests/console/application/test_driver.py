"""Keys of a terminal arrive, Escape alone too, and reading them ends when it is to end."""

from __future__ import annotations

import os
from queue import Queue
from threading import Thread

import pytest
from textual.app import App
from textual.events import Key
from textual.message import Message

from console.application.driver import WaitingDriver


class Keys(WaitingDriver):
    def __init__(self, fileno: int) -> None:
        super().__init__(App(), mouse=False)
        self.fileno = fileno
        self.kept: Queue[Message] = Queue()
        self._key_thread = Thread(target=self.run_input_thread)
        self._key_thread.start()

    def process_message(self, message: Message) -> None:
        self.kept.put(message)

    def next_key(self) -> str:
        message = self.kept.get(timeout=20)
        assert isinstance(message, Key)
        return message.key


async def test_input_that_another_process_took_first_is_no_hang_up(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    taken, read = iter([True]), os.read

    def read_unless_taken(descriptor: int, most: int) -> bytes:
        if next(taken, False):
            raise BlockingIOError
        return read(descriptor, most)

    monkeypatch.setattr(os, "read", read_unless_taken)
    monkeypatch.setattr("console.application.driver.hang_up", lambda: None)
    driver = Keys(reading)
    try:
        os.write(writing, b"a")
        assert driver.next_key() == "a"
    finally:
        driver.disable_input()
        os.close(reading)
        os.close(writing)


async def test_keys_are_read_until_the_input_is_disabled() -> None:
    master, slave = os.openpty()
    driver = Keys(slave)
    try:
        for written, key in ((b"a\n", "a"), (b"\x1b[B\n", "down"), (b"\x1b[3~\n", "delete")):
            os.write(master, written)
            assert driver.next_key() == key
            assert driver.next_key() in ("enter", "ctrl+j")
        os.write(master, b"\x1b\x04")
        assert driver.next_key() == "escape"
    finally:
        driver.disable_input()
        os.close(master)
        os.close(slave)
    assert driver._key_thread is not None
    assert not driver._key_thread.is_alive()
