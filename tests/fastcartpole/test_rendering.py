"""Frames equal Gymnasium's pixel for pixel."""

import gymnasium
import numpy as np
import pytest

from fastcartpole import CartPoleEnv, CartPoleVectorEnv

pytest.importorskip("pygame")


def gymnasium_frame(state):
    environment = gymnasium.make("CartPole-v1", render_mode="rgb_array").unwrapped
    environment.reset(seed=0)
    environment.state = state
    return environment.render()


def test_a_frame_of_the_single_environment_is_gymnasiums():
    environment = gymnasium.make("fastcartpole/CartPole-v1", render_mode="rgb_array")
    environment.reset(seed=3)
    environment.step(1)
    frame = environment.render()
    assert frame.shape == (400, 600, 3)
    assert frame.dtype == np.uint8
    assert np.array_equal(frame, gymnasium_frame(environment.unwrapped.state))
    environment.close()


@pytest.mark.parametrize("is_late", [False, True])
def test_frames_have_the_size_that_is_set(is_late):
    frames = []
    for name in ("CartPole-v1", "fastcartpole/CartPole-v1"):
        environment = gymnasium.make(name, render_mode="rgb_array").unwrapped
        environment.reset(seed=3)
        if is_late:
            environment.render()
        environment.screen_width, environment.screen_height = 300, 200
        assert (environment.screen_width, environment.screen_height) == (300, 200)
        environment.step(1)
        frames.append(environment.render())
        environment.close()
    assert np.array_equal(*frames)
    batch = CartPoleVectorEnv(2, render_mode="rgb_array")
    batch.reset(seed=3)
    batch.screen_width = 30
    assert batch.render()[1].shape == (400, 30, 3)
    batch.close()


@pytest.mark.parametrize("size", [0, 1.5, None])
def test_a_size_of_frames_that_cannot_be_is_refused(size):
    with pytest.raises((TypeError, ValueError), match="screen_height must be"):
        CartPoleEnv().screen_height = size


def test_a_batch_renders_a_tuple_of_frames_or_one_grid():
    environments = CartPoleVectorEnv(5, render_mode="rgb_array")
    environments.reset(seed=0)
    environments.state = np.linspace(-0.2, 0.2, 20).reshape(4, 5)
    frames = environments.render()
    assert isinstance(frames, tuple)
    assert len(frames) == 5
    for index, frame in enumerate(frames):
        assert np.array_equal(frame, gymnasium_frame(environments.state[:, index]))

    tiled = CartPoleVectorEnv(5, render_mode="rgb_array_grid")
    tiled.reset(seed=0)
    tiled.state = environments.state
    grid = tiled.render()
    assert grid.shape == (800, 1800, 3)
    for index, frame in enumerate(frames):
        row, column = divmod(index, 3)
        assert np.array_equal(grid[row * 400 : (row + 1) * 400, column * 600 : (column + 1) * 600], frame)
    assert not grid[400:, 1200:].any()
    environments.close()
    tiled.close()


def test_the_window_of_the_single_environment_opens_and_closes():
    environment = CartPoleEnv(render_mode="human")
    environment.reset(seed=0)
    environment.step(1)
    assert environment.render() is None
    environment.close()


@pytest.mark.parametrize("make", [CartPoleEnv, lambda: CartPoleVectorEnv(2)])
def test_rendering_without_a_mode_warns_and_gives_nothing(make):
    environment = make()
    environment.reset(seed=0)
    with pytest.warns(UserWarning, match="without a render_mode"):
        assert environment.render() is None


def test_a_batch_takes_the_render_mode_that_gymnasiums_takes_unchecked():
    frames = []
    for name in ("fastcartpole/CartPole-v1", "CartPole-v1"):
        seeding = {"seeding": "shared"} if name.startswith("fast") else {}
        environments = gymnasium.make_vec(name, num_envs=3, render_mode="rgb_array_list", **seeding)
        environments.reset(seed=0)
        frames.append(environments.render())
        assert environments.render_mode == "rgb_array_list"
        # The HumanRendering wrapper accepts it (opening the window would need OpenCV).
        assert gymnasium.wrappers.vector.HumanRendering(environments).render_mode == "human"
        environments.close()
    ours, theirs = frames
    assert np.array_equal(np.array(ours), np.array(theirs))
