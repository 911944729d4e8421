"""Hosts that are cut off in the middle of a batch lose nothing, and go on by themselves once back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.hosts import missing

pytestmark = pytest.mark.deep


def test_of_three_hosts_two_are_cut_off_and_back_and_nothing_is_lost() -> None:
    """In a process of its own: it moves into a network namespace for good."""
    if why := missing():
        pytest.skip(why)
    few = ("--lost", "--rate", "200", "--tokens", "12000")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.hosts", *few, "--json"],
        capture_output=True,
        text=True,
        timeout=1_200,
        check=False,
    )
    assert ran.stdout, ran.stderr[-2_000:]
    found = json.loads(ran.stdout)["measured"]
    assert found["lost"] == []
    assert found["tokens"] == 12_000
    assert len(found["taken_after"]) == len(found["back_after"]) == 2
