"""Waiting until the platform is seen to use the new key: what ends it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event

import pytest

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.incidents.keys.rotation.guide import SHORTEST_SECONDS, Guide, watch
from crypto_core.values.errors import InterruptedRunError, KmsAccessDeniedError, KmsError, KmsInternalError
from tests.crypto_core.incidents.keys.rotation.conftest import Stage


class Meanwhile(Event):
    """An event on which nobody waits: something happens instead, each time something else."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        super().__init__()
        self.happens = list(happens)
        self.waited: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        self.happens.pop(0)()
        return self.is_set()


def reading(container: Container, old: str, *new: str) -> Callable[[], Guide]:
    return partial(container.services.replacement.read_guide, old, *new)


@pytest.mark.deep
def test_it_looks_until_the_platform_uses_the_new_key(stage: Stage) -> None:
    new = stage.key()
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=new)
    between = Meanwhile(
        lambda: stage.connect(stage.old),
        lambda: stage.connect(new),
    )
    with stage.container() as container:
        seen = [
            g.step("in-use").state.value
            for g in watch(reading(container, stage.old, new), every=7, cancelled=between)
        ]
    assert seen == ["now", "now", "done"]
    assert between.waited == [7, 7]


def test_it_ends_when_it_is_told_to(stage: Stage) -> None:
    between = Meanwhile()
    between.happens.append(between.set)
    with stage.container() as container:
        read = reading(container, stage.old, stage.key())
        looks = watch(read, every=7, cancelled=between)
        next(looks)
        with pytest.raises(InterruptedRunError):
            next(looks)


def test_it_does_not_wait_for_what_is_not_possible(stage: Stage) -> None:
    with stage.container() as container:
        looks = list(watch(reading(container, stage.old, stage.old), every=7, cancelled=Meanwhile()))
    assert len(looks) == 1
    assert not looks[0].possible


def test_it_asks_not_too_often(stage: Stage) -> None:
    with stage.container() as container, pytest.raises(ValueError, match="At least 5 seconds"):
        next(watch(reading(container, stage.old), every=SHORTEST_SECONDS - 0.1, cancelled=Event()))


def test_a_look_that_fails_in_passing_is_made_again(
    stage: Stage, fail: Callable[[str, str], None], sandbox: Sandbox
) -> None:
    new = stage.key()
    stage.configure(TOKEN_ENCRYPTION_KEY_ID=new)
    missed: list[KmsError] = []

    def mended() -> None:
        sandbox.control.clear()
        stage.connect(new)

    between = Meanwhile(lambda: fail("DescribeKey", "KMSInternalException"), mended)
    with stage.container() as container:
        looks = list(
            watch(reading(container, stage.old, new), every=7, cancelled=between, missed=missed.append)
        )
    assert [guide.in_use for guide in looks] == [False, True]
    assert [type(error) for error in missed] == [KmsInternalError]


def test_a_look_that_is_refused_ends_the_waiting(stage: Stage, deny: Callable[..., None]) -> None:
    between = Meanwhile(lambda: deny("kms:DescribeKey", resource=stage.old))
    with stage.container() as container:
        read = reading(container, stage.old, stage.key())
        looks = watch(read, every=7, cancelled=between)
        next(looks)
        with pytest.raises(KmsAccessDeniedError):
            next(looks)


def test_a_look_ends_when_it_is_cancelled_and_takes_no_census(stage: Stage, sandbox: Sandbox) -> None:
    stage.connect(stage.old)
    cancelled = Event()
    cancelled.set()
    before = sandbox.control.stats().calls.get("kms:Decrypt", 0)
    with stage.container() as container, pytest.raises(InterruptedRunError):
        container.services.replacement.read_guide(stage.old, cancelled=cancelled)
    assert sandbox.control.stats().calls.get("kms:Decrypt", 0) == before


def test_a_look_ends_when_it_is_cancelled_in_the_census(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.connect(stage.old)
    cancelled = Event()
    with stage.container() as container:
        attributor = container.services.status.attributor
        attribute = attributor.attribute_census

        def interrupted(*arguments: object, **how: object) -> object:
            cancelled.set()
            return attribute(*arguments, **how)

        monkeypatch.setattr(attributor, "attribute_census", interrupted)
        with pytest.raises(InterruptedRunError):
            container.services.replacement.read_guide(stage.old, cancelled=cancelled)
