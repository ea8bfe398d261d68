"""Transfers in threads."""

import threading
import time

import pytest

from artifact_pipeline.errors import NetworkError
from artifact_pipeline.remote import transfer
from artifact_pipeline.remote.transfer import in_threads
from tests.support.waiting import HANG


def test_a_failure_is_raised_once_the_other_transfers_have_ended(monkeypatch):
    monkeypatch.setattr(transfer, "_GRACE", HANG)
    stopping, ended = threading.Event(), []

    def fail():
        raise NetworkError("broke off")

    def write_on():
        assert stopping.wait(HANG)
        time.sleep(0.1)  # the last piece
        ended.append(True)

    with pytest.raises(NetworkError, match="broke off"):
        in_threads([write_on, fail, write_on], stopping)
    assert ended == [True, True]
