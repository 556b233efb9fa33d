"""Gymnasium's own wrappers, applied to our environments."""

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import vector as wrappers
from lockstep import assert_same_infos, gymnasium_batch

from fastcartpole import CartPoleVectorEnv


def play_both(wrap, num_steps=150):
    """Step ours and Gymnasium's inside the same wrapper; return the last results of both."""
    ours, theirs = wrap(CartPoleVectorEnv(4)), wrap(gymnasium_batch(4))
    np.testing.assert_array_equal(ours.reset(seed=1)[0], theirs.reset(seed=1)[0])
    for step in range(num_steps):
        actions = np.full(4, step % 2)
        actual, expected = ours.step(actions), theirs.step(actions)
        for a, b in zip(actual[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        yield actual[4], expected[4]


def test_record_episode_statistics_counts_as_with_gymnasium():
    episodes = 0
    for actual, expected in play_both(wrappers.RecordEpisodeStatistics):
        assert actual.keys() == expected.keys()
        if "episode" in expected:
            episodes += 1
            np.testing.assert_array_equal(actual["_episode"], expected["_episode"])
            for key in expected["episode"].keys() - {"t", "_t"}:
                np.testing.assert_array_equal(actual["episode"][key], expected["episode"][key])
    assert episodes > 3


@pytest.mark.parametrize(
    "wrap",
    [
        wrappers.NormalizeObservation,
        wrappers.NormalizeReward,
        wrappers.FlattenObservation,
        lambda environments: wrappers.ClipReward(environments, 0.0, 0.5),
        lambda environments: wrappers.TransformObservation(environments, lambda observations: 2 * observations),
    ],
)
def test_wrapped_environments_go_on_as_gymnasiums(wrap):
    for actual, expected in play_both(wrap):
        assert_same_infos(actual, expected)


def test_single_environment_wrappers_work():
    environment = gymnasium.wrappers.RecordEpisodeStatistics(
        gymnasium.wrappers.NormalizeObservation(gymnasium.make("fastcartpole/CartPole-v1"))
    )
    environment.reset(seed=0)
    ended = False
    while not ended:
        _, _, terminated, truncated, info = environment.step(1)
        ended = terminated or truncated
    assert info["episode"]["l"] == info["episode"]["r"] > 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("vector", [True, False])
def test_record_video_writes_films(vector, tmp_path):
    pytest.importorskip("moviepy")
    pytest.importorskip("pygame")
    if vector:
        environments = wrappers.RecordVideo(
            CartPoleVectorEnv(2, render_mode="rgb_array"),
            str(tmp_path / "films"),
            video_length=10,
            step_trigger=lambda s: s == 0,
        )
        actions = np.array([0, 1])
    else:
        environments = gymnasium.wrappers.RecordVideo(
            gymnasium.make("fastcartpole/CartPole-v1", render_mode="rgb_array"),
            str(tmp_path / "films"),
            video_length=10,
            step_trigger=lambda s: s == 0,
        )
        actions = 1
    environments.reset(seed=0)
    for _ in range(15):
        _, _, terminated, truncated, _ = environments.step(actions)
        if not vector and (terminated or truncated):
            environments.reset()
    environments.close()
    films = list(tmp_path.glob("films/*.mp4"))
    assert len(films) == 1
    assert films[0].stat().st_size > 1000
