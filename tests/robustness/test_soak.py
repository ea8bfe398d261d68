"""A minute of what `python -m benchmarks.serving.soak` does for ten."""

from __future__ import annotations

import pytest
from benchmarks.serving.soak import soak


@pytest.mark.slow
def test_a_minute_of_full_load_loses_no_request_and_gives_no_wrong_answer(tmp_path):
    found = soak(
        60.0,
        tmp_path,
        is_enough=lambda soak: soak.answers > 1000 and soak.refusals > 100 and soak.kills >= 3,
    )
    assert not found.wrong and not found.lost, (found.wrong[:3], found.lost[:3])
    assert found.answers > 1000 and found.refusals > 100
    assert len(found.digests) == 2, "the alias moved, and was followed"
    assert found.kills >= 3, "each kill waits until all workers are back"
    third = len(found.mib) // 3
    assert max(found.mib[-third:]) < 1.1 * max(found.mib[:third])
