"""A deferred service is made when it is first used, once."""

from __future__ import annotations

from threading import Barrier, Thread
from time import sleep

import pytest

from console.lazy_services import deferred, if_made


class Service:
    made = 0

    def __init__(self) -> None:
        sleep(0.02)
        type(self).made += 1
        self.name = "service"

    def twice(self, number: int) -> int:
        return 2 * number


@pytest.fixture(autouse=True)
def _anew() -> None:
    Service.made = 0


def test_it_is_made_when_it_is_first_used() -> None:
    service = deferred(Service)
    assert Service.made == 0
    assert service.twice(3) == 6
    assert service.name == "service"
    assert Service.made == 1


def test_threads_share_the_one_that_is_made() -> None:
    service = deferred(Service)
    together = Barrier(8)

    def use() -> None:
        together.wait()
        service.twice(1)

    threads = [Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Service.made == 1


def test_what_could_not_be_made_is_tried_again() -> None:
    tries = iter([OSError("not yet"), None])

    def make() -> Service:
        trouble = next(tries)
        if trouble is not None:
            raise trouble
        return Service()

    service = deferred(make)
    with pytest.raises(OSError, match="not yet"):
        service.twice(1)
    assert service.twice(1) == 2


def test_who_only_asks_whether_it_is_made_does_not_make_it() -> None:
    service = deferred(Service)
    assert if_made(service) is None
    assert Service.made == 0
    service.twice(1)
    made = if_made(service)
    assert type(made) is Service
