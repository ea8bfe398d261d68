"""The cache of checked configs."""

import pytest

from tests.support.command import call


@pytest.mark.slow
def test_a_config_is_checked_by_scikit_learn_once(project):
    first = call("recipe", "--json", cwd=project).json
    assert call("recipe", "--json", cwd=project).json == first
    (project / "config" / "config.json").write_text(
        (project / "config" / "config.json").read_text().replace('"lbfgs"', '"nope"')
    )
    assert call("recipe", cwd=project).code == 2


@pytest.mark.slow
def test_a_corrupt_entry_is_a_miss(project, tmp_path):
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    first = call("recipe", "--json", cwd=project, env=env).json
    entries = list((tmp_path / "state").rglob("configs/*"))
    assert entries
    for data in (b"", b"{", b"[]", b'{"config":1}'):
        for entry in entries:
            entry.write_bytes(data)
        again = call("recipe", "--json", cwd=project, env=env)
        assert again.code == 0 and again.json == first
        assert all(entry.read_bytes() != data for entry in entries)
