"""The same recipe gives the same bytes on any day, in any locale and for any user."""

import json
import os
import subprocess
import sys

import pytest

from tests.support.command import call
from tests.support.configs import FOREST, ROOT, SHORT, write

SITE = """
import os, pathlib, time
pathlib.Path(__file__).with_name(f"{os.getpid()}.shifted").touch()
for name in ("time", "time_ns"):
    real = getattr(time, name)
    setattr(time, name, lambda real=real: real() + (10**18 if real() > 10**15 else 10**9))
"""


@pytest.mark.parametrize(
    "outer",
    [
        {"PYTHONHASHSEED": "1"},
        pytest.param({"USER": "somebody", "LOGNAME": "somebody"}, marks=pytest.mark.slow),
        pytest.param(
            {"LC_ALL": "C", "LANG": "tr_TR.UTF-8", "PYTHONUTF8": "0"}, marks=pytest.mark.slow
        ),
        pytest.param({"TZ": "Asia/Kolkata"}, marks=pytest.mark.slow),
        pytest.param({"clock": "fifty years later"}, marks=pytest.mark.slow),
        pytest.param({"umask": "077"}, marks=pytest.mark.slow),
        pytest.param(
            {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Nehalem"},
            marks=pytest.mark.slow,
        ),
        pytest.param({"state": "another home"}, marks=pytest.mark.slow),
        pytest.param({"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA"}, marks=pytest.mark.slow),
    ],
    ids=lambda outer: next(iter(outer)),
)
def test_the_same_recipe_gives_the_same_digest(project, digits, outer):
    env = {k: v for k, v in outer.items() if k.isupper()}
    if "clock" in outer:
        (project / "site").mkdir()
        (project / "site" / "sitecustomize.py").write_text(SITE)
        env["PYTHONPATH"] = os.pathsep.join([str(project / "site"), str(ROOT / "src")])
    if "state" in outer:
        env.update(dict.fromkeys(("HOME", "XDG_STATE_HOME"), str(project / "home")))
    before = os.umask(0o077) if "umask" in outer else None
    try:
        done = call("train", "--json", cwd=project, env=env)
    finally:
        if before is not None:
            os.umask(before)
    assert done.code == 0, done.err
    assert done.json["digest"] == digits.digest
    if "clock" in outer:
        assert len(list((project / "site").glob("*.shifted"))) >= 2  # the trainer's clock, too


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else"
)
def test_another_user_gets_the_same_digest(digits, tmp_path_factory):
    """Under another user id, in a user namespace, since the interpreter may lie in root's home."""
    folder = tmp_path_factory.mktemp("user")
    write(folder, SHORT)
    done = subprocess.run(
        ["unshare", "--user", "--map-user=1000", sys.executable, "-m", "artifact_pipeline",
         "train", "config.json", "--json"],
        cwd=folder, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digest"] == digits.digest


@pytest.mark.slow
def test_how_many_processes_compute_does_not_change_the_digest(project):
    params = FOREST["model"]["params"]
    more = {**FOREST, "model": {**FOREST["model"], "params": {**params, "n_jobs": 2}}}
    one = call("train", write(project, FOREST), "--json", "--store", "a", cwd=project)
    two = call("train", write(project, more), "--json", "--store", "b", cwd=project)
    assert one.json["digest"] == two.json["digest"]
