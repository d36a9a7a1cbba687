"""A logger is kept quiet for a while and comes back as it was."""

from __future__ import annotations

import logging

import pytest

from armchair.core.logs import silenced


def test_only_what_is_below_the_level_is_kept_back(caplog: pytest.LogCaptureFixture):
    """Errors pass while warnings do not."""
    log = logging.getLogger("armchair.somewhere")
    with silenced("armchair", logging.ERROR):
        log.warning("a word never seen")
        log.error("a file is gone")
    assert caplog.messages == ["a file is gone"]


def test_the_level_returns_after_an_error():
    """A failure inside leaves the logger as it was."""
    log = logging.getLogger("armchair.somewhere")
    log.setLevel(logging.INFO)
    with pytest.raises(ValueError, match="inside"), silenced("armchair.somewhere", logging.CRITICAL):
        raise ValueError("inside")
    assert log.level == logging.INFO
