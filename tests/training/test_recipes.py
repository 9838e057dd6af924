"""Run files over a base: what they inherit, what they say themselves, and what is
refused."""

from pathlib import Path

import pytest

from schemas.settings import SettingsError
from training.config import load
from training.recipes import read_recipe

BASE = """
name = "base"
kind = "semg_gmvae"
[model]
width = 48
alpha = 0.5
[data]
bars = 4
tracks = ["Piano", "Bass"]
[train]
steps = 7
"""


@pytest.fixture
def written(tmp_path: Path):
    (tmp_path / "base.toml").write_text(BASE)

    def write(text: str, name: str = "run.toml") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_a_run_has_its_base_s_settings_but_for_what_it_says(written):
    path = written(
        'base = "base.toml"\nname = "run"\n[data]\ntracks = ["Piano"]\n[train]\nbatch = 2\n'
    )
    config = load(path)
    assert (config.name, config.kind) == ("run", "semg_gmvae")
    assert (config.model.width, config.model.alpha) == (48, 0.5)
    assert (config.data.bars, config.data.tracks) == (4, ("Piano",))
    assert (config.train.steps, config.train.batch) == (7, 2)


def test_a_run_of_another_kind_takes_the_model_settings_that_it_has(written):
    config = load(written('base = "base.toml"\nname = "run"\nkind = "control"\n'))
    assert config.kind == "control" and config.model.width == 48
    assert not hasattr(config.model, "alpha")


def test_a_base_may_have_a_base_and_stand_in_another_folder(written, tmp_path: Path):
    written('base = "base.toml"\nname = "middle"\n[train]\nsteps = 9\n', "middle.toml")
    (tmp_path / "below").mkdir()
    path = written('base = "../middle.toml"\nname = "run"\n', "below/run.toml")
    config = load(path, ["model.width=96"])
    assert (config.train.steps, config.model.alpha, config.model.width) == (9, 0.5, 96)


def test_an_own_setting_that_the_model_lacks_is_refused(written):
    path = written(
        'base = "base.toml"\nname = "run"\nkind = "control"\n[model]\nalpha = 1.0\n'
    )
    with pytest.raises(SettingsError, match=r"unknown key model\.alpha"):
        load(path)


def test_bases_that_go_in_a_circle_or_are_none_are_refused(written):
    path = written('base = "other.toml"\nname = "run"\n')
    written('base = "run.toml"\nname = "other"\n', "other.toml")
    with pytest.raises(SettingsError, match="is its own base"):
        read_recipe(path)
    with pytest.raises(SettingsError, match=r"cannot read .*missing\.toml"):
        read_recipe(written('base = "missing.toml"\n'))
    with pytest.raises(SettingsError, match="base must be the path of a run file, not 3"):
        read_recipe(written("base = 3\n"))
    with pytest.raises(SettingsError, match="kind must be one of"):
        load(written('base = "base.toml"\nkind = "no such model"\n'))
