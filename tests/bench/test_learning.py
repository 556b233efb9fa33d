"""The output of ``python -m bench.learning``."""

import json

import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from agent import preset_config
from bench import learning
from bench.learning import Training, as_markdown


@pytest.mark.slow
def test_trainings_become_a_table_and_a_plot(tmp_path, monkeypatch):
    def small(name, **changes):
        return preset_config(name, **changes, epochs=2, steps_per_epoch=64, num_envs=2, hidden_sizes=(8,))

    monkeypatch.setattr(learning, "preset_config", small)
    result = CliRunner().invoke(learning.main, ["--seeds", "2", "--env-id", "MountainCar-v0", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (row,) = [line for line in (tmp_path / "learning.md").read_text().splitlines() if line.startswith("| MountainCar")]
    assert row.startswith(
        "| MountainCar-v0 | 2 | -200.0 [-200.0, -200.0] | -200.0 to -200.0 | -110.4 (1 M) | -200.0 | 128 | "
    )
    assert len(json.loads((tmp_path / "learning" / "MountainCar-v0.json").read_text())["trainings"]) == 2
    assert "In MountainCar-v0, 0 of 2 runs found the flag." in (tmp_path / "learning.md").read_text()
    assert imread(tmp_path / "learning.png").shape[2] == 4


def test_the_time_to_land_is_compared_with_the_environments_alone():
    def training(seed, landed_s):
        return Training(seed, 250.0, 1_000_000, 90.0, ((1, 0.0),), landed_s, steps_per_s_alone=20_000.0)

    trainings = [training(0, 40.0), training(1, 60.0), training(2, float("nan"))]
    page = as_markdown({"LunarLander-v3": trainings}, "a machine")
    # The environments alone take 40 s for 800,000 steps; the third run never reached the mean return.
    assert "a greedy mean return of 200 in 2 of 3 runs, first after a median of 50 s of training" in page
    assert "Over all runs, the median is 1.50 times as long" in page
