"""A trainer process that the kernel kills because memory ran out."""

import pytest

from tests.support import memory_limit
from tests.support.command import call, script
from tests.support.configs import write

# 47,905 columns of 1,437 rows in float64: 550 MB.
CUBES = {
    "data": {"dataset": "digits"},
    "model": {
        "steps": [
            {"name": "cubes", "estimator": "sklearn.preprocessing.PolynomialFeatures",
             "params": {"degree": 3}},
            {"name": "model", "estimator": "sklearn.naive_bayes.GaussianNB"},
        ]
    },
}  # fmt: skip
JOINED = """
import os, sys
with open(sys.argv[1], "w") as group:
    group.write(str(os.getpid()))
from artifact_pipeline.cli import main
main(sys.argv[2:])
"""

# Not a skip: elsewhere than as root there is nothing that could be tried.
if memory_limit.is_possible():

    @pytest.mark.slow
    def test_a_trainer_that_the_kernel_kills_for_memory_names_it(project, memory_kills):
        path = write(project, CUBES)
        with memory_limit.limited(480 << 20) as group:
            done = script("-c", JOINED, group, "train", path, cwd=project)
        assert done.code == 5
        assert "trainer process: was killed because memory ran out; it used" in done.err
        assert "take a sample of the rows or a smaller model" in done.err
        assert "Traceback" not in done.err
        assert call("list", cwd=project).code == 0
