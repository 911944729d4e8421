"""The demo's environment, as lines for a shell and as a shell's."""

from __future__ import annotations

import subprocess

from console.practice.surroundings import export_lines


def test_a_shell_takes_every_value_as_it_is_and_others_are_unset() -> None:
    settings = {
        "DATABASE_URL": 'postgresql://a:p\'; echo "$HOME" `id` $(id)\\ @127.0.0.1/x?a=b&c=d',
        "KEYDECK_ENVIRONMENT": "demo\nexport BAD=1",
    }
    script = "\n".join([*export_lines(settings), "env -0"])
    ran = subprocess.run(
        ["/bin/sh"],
        input=script,
        env={"PATH": "/usr/bin:/bin", "AWS_PROFILE": "prod", "KEYDECK_STATE_URL": "x", "OTHER": "stays"},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = dict(entry.partition("=")[::2] for entry in ran.stdout.split("\0") if entry)
    assert {name: shown[name] for name in settings} == settings
    assert shown["OTHER"] == "stays"
    assert shown["PATH"].endswith("/usr/bin:/bin")
    assert {"AWS_PROFILE", "KEYDECK_STATE_URL", "BAD"}.isdisjoint(shown)
