r"""A preload for Dask's nannies, which lets their workers compute under a numeric profile.

dask worker ADDRESS --nthreads 1 --preload-nanny artifact_pipeline.builder.dask_worker
"""

from __future__ import annotations

import os
from typing import Any

from artifact_pipeline.builder import numeric_profile

PROFILE_ENV_VAR = "ARTIFACT_PIPELINE_PROFILE"
"""The variable with the profile of the workers; by default it is that of the machine."""


def dask_setup(nanny: Any) -> None:
    """Set the environment of the worker process that a nanny is about to start."""
    profile = os.environ.get(PROFILE_ENV_VAR) or numeric_profile.detect_profile()
    environment = numeric_profile.environment(profile, os.environ)
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    # A nanny updates its own environment as well, which may be that of a trainer.
    del environment[numeric_profile.THREADS_ENV_VAR]
    nanny.pre_spawn_env.update(environment)
