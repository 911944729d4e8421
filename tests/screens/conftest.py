"""Pictures of screens, compared with those that were approved: pytest --snapshot-update makes them anew."""

from __future__ import annotations

import re

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

_FONT_FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)
_ID = re.compile(r"terminal-\d+")


class SvgExtension(SingleFileSnapshotExtension):
    """One SVG file a picture. Ids that differ from run to run and fonts from elsewhere are left out."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT

    def serialize(self, data: str, **_options: object) -> str:
        return _FONT_FACE.sub("", _ID.sub("terminal", data))


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Compares what `export_screenshot` returns with the approved picture."""
    return snapshot.use_extension(SvgExtension)
