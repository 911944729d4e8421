"""glibc's heap: one for all threads, and what is free in it is given back.

A thread that asks for memory gets a heap of its own (mallopt(3), M_ARENA_MAX), and what it leaves there none
other uses. The console asks each question in a thread, and only one of them runs at a time.
"""

from __future__ import annotations

import sys
from ctypes import CDLL

_M_ARENA_MAX = -8


def share_heap() -> None:
    """Have all threads use one heap, where it is glibc's. To be called before there are others."""
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> CDLL | None:
    libc = CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "malloc_trim") else None
