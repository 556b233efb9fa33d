"""``fastppo render`` and ``fastppo play`` as users see them."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3
import numpy as np
import pygame
import pytest
from PIL import Image
from runs import LEANING, TO_THE_LEFT, TO_THE_RIGHT, invoke, let_act_by, message_of

from agent import PPO
from agent.environments.making import EnvironmentSource
from agent.learning.networks import build_actor
from agent.replay import actors_after
from agent.runs.directory import RunDirectory
from agent.views import animations, window
from agent.views.animations import side_by_side

FASTPPO = str(Path(sys.executable).with_name("fastppo"))


def frames_of(path):
    """Return the frames that a GIF shows, one per 40 ms, shape (F, H, W, 3)."""
    with Image.open(path) as animation:
        frames = []
        for index in range(animation.n_frames):
            animation.seek(index)
            # Equal consecutive frames are merged into one that is shown longer.
            frames += [np.asarray(animation.convert("RGB"))] * (animation.info["duration"] // 40)
    return np.array(frames)


def agreement(one, other):
    """Return how well the cart, pole and track of two animations overlap; 1 if they are equal."""
    one, other = (frames.mean(axis=-1) < 215 for frames in (one, other))
    return (one & other).sum() / (one | other).sum()


def length_of_episode(run, seed):
    """Return the length of the greedy episode that a command shows."""
    result = invoke("play", run, "--episodes", 1, "--seed", seed)
    assert result.exit_code == 0, result.output
    return int(result.output.split()[-1])


@pytest.mark.slow
def test_the_last_policy_is_shown_in_real_time_frame_by_frame(copied_run):
    result = invoke("render", copied_run, "--seed", 3)
    assert (result.exit_code, result.output) == (0, f"Saved in {copied_run / 'actor.gif'}\n")
    frames = frames_of(copied_run / "actor.gif")
    assert frames.shape[1:] == (200, 300, 3)
    # The initial state, then every second step and the last one.
    assert len(frames) == 1 + -(-length_of_episode(copied_run, 3) // 2)
    assert sum(np.any(one != next_one) for one, next_one in itertools.pairwise(frames)) > len(frames) / 2
    with Image.open(copied_run / "actor.gif") as animation:
        assert animation.info["loop"] == 0


@pytest.mark.parametrize(
    "epochs",
    [
        ("--epoch", "0", "2", "4"),
        pytest.param(("--epoch", "0,2,4"), marks=pytest.mark.slow),
        pytest.param(("--epoch", "0", "--epoch", "2,4"), marks=pytest.mark.slow),
    ],
)
def test_policies_of_several_epochs_are_shown_side_by_side(copied_run, epochs, monkeypatch):
    # Trained policies may look alike; these do not.
    actors = {epoch: build_actor(4, 2, (4, 4), seed=0) for epoch in (0, 2, 4)}
    for actor, weights in zip(actors.values(), (TO_THE_LEFT, LEANING, TO_THE_RIGHT), strict=True):
        let_act_by(actor, weights)
    monkeypatch.setattr("agent.replay.actors_after", lambda *_: actors)
    result = invoke("render", copied_run, *epochs)
    assert result.exit_code == 0, result.output
    frames = frames_of(copied_run / "epochs_0_2_4.gif")
    assert frames.shape[1:] == (200, 900, 3)
    assert len(np.unique(frames)) > 2
    # Each panel equals the animation of its own policy, below the caption and right of the grey line, and no other.
    alone = []
    for epoch, actor in actors.items():
        actor.save(copied_run / f"{epoch}.keras")
        assert invoke("render", copied_run / f"{epoch}.keras").exit_code == 0
        alone.append(frames_of(copied_run / f"{epoch}.gif"))
    for i, expected in enumerate(alone):
        for j in range(3):
            shown = frames[:, 30:, 300 * j + 2 : 300 * j + 300]
            length = min(len(expected), len(shown))
            same = agreement(shown[:length], expected[:length, 30:, 2:])
            assert same > 0.95 if i == j else same < 0.9
    assert np.any(frames[0, :30, :300] != alone[0][0, :30])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio's reader leaves pipes open
def test_a_video_shows_the_same_as_a_gif(copied_run):
    actor = build_actor(4, 2, (4, 4), seed=0)
    let_act_by(actor, TO_THE_RIGHT)
    actor.save(copied_run / "actor.keras")
    assert invoke("render", copied_run, "--out", copied_run / "film.mp4").exit_code == 0
    assert invoke("render", copied_run, "--out", copied_run / "film.gif").exit_code == 0
    film, gif = imageio.v3.imread(copied_run / "film.mp4"), frames_of(copied_run / "film.gif")
    assert film.shape == (len(gif), 400, 600, 3)
    assert imageio.v3.immeta(copied_run / "film.mp4")["fps"] == 25.0
    shrunk = film.reshape(len(film), 200, 2, 300, 2, 3).mean(axis=(2, 4))
    assert agreement(shrunk, gif) > 0.9
    assert agreement(shrunk[2:], gif[:-2]) < 0.8


@pytest.mark.slow
def test_actors_of_earlier_epochs_are_those_of_the_training(trained):
    run = RunDirectory(trained)
    config = run.read_config()
    told = []
    actors = actors_after(config, run.read_metrics(), [], [0, 2, 4], told.append)
    assert told == [1, 2, 3, 4]
    ppo = PPO(config)
    for epoch in range(5):
        if epoch in actors:
            pairs = zip(actors[epoch].get_weights(), ppo.actor.get_weights(), strict=True)
            assert all(np.array_equal(one, other) for one, other in pairs)
        if epoch < 4:
            ppo.train_epoch()


def test_a_run_that_cannot_be_reproduced_is_not_shown(copied_run):
    path = copied_run / "metrics.csv"
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace("0.", "0.1", 1)
    path.write_text("".join(lines))
    result = invoke("render", copied_run, "--epoch", 3)
    assert result.exit_code == 1
    assert "Error: epoch 2 differs from the recorded one when the run is trained again." in result.stderr
    assert not list(copied_run.glob("*.gif"))


def test_a_failed_rendering_is_reported_in_one_sentence_with_exit_code_2(copied_run, tmp_path, monkeypatch):
    (copied_run / "actor.gif").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    for arguments, message in (
        ((copied_run,), "exists already; --overwrite replaces it."),
        ((copied_run, "--epoch", "5"), "5 is beyond the last epoch, 4."),
        ((copied_run, "--epoch", "x"), "'x' is not a list of whole numbers such as 0,8,20."),
        ((copied_run, "3"), "Got unexpected extra argument (3)"),
        ((copied_run / "actor.keras", "--epoch", "1"), "--epoch needs a run directory: "),
        ((copied_run, "--out", tmp_path / "x.webm"), "must end in .gif or .mp4."),
        ((copied_run, "--out", tmp_path / "no" / "x.gif"), "is not a directory."),
        ((tmp_path,), "holds no trained actor"),
    ):
        assert message in message_of(invoke("render", *arguments)), arguments
    monkeypatch.setattr(animations, "missing_packages", lambda _: ["imageio"])
    message = message_of(invoke("render", copied_run, "--out", tmp_path / "x.mp4"))
    assert message.endswith("Error: animations need imageio: pip install 'fastppo[rendering]'.")
    assert sorted(tmp_path.rglob("*")) == before


def test_animations_that_end_keep_their_last_frame_faded_and_rows_are_filled_up():
    lengths = (1, 3, 2, 2)
    panels = [
        [np.full((2, 3, 3), 10 * number + step, np.uint8) for step in range(n)] for number, n in enumerate(lengths)
    ]
    frames = list(side_by_side(panels))
    assert len(frames) == 3
    assert frames[0].shape == (4, 9, 3)
    faded = [(192 + value) // 2 for value in (0, 21, 31)]
    assert [frame[0, 0, 0] for frame in frames] == [0, faded[0], faded[0]]
    # Column 5 lies right of the grey line between the panels.
    assert [frame[0, 5, 0] for frame in frames] == [10, 11, 12]
    assert [frame[0, 8, 0] for frame in frames] == [20, 21, faded[1]]
    assert [frame[2, 0, 0] for frame in frames] == [30, 31, faded[2]]
    assert all((frame[2:, [5, 8]] == 255).all() for frame in frames)


def test_a_window_shows_episodes_and_their_returns(copied_run):
    result = invoke("play", copied_run, "--episodes", 2, "--sample")
    assert result.exit_code == 0, result.output
    assert [line.rsplit(" ", 1)[0] for line in result.output.splitlines()] == ["episode 1: return", "episode 2: return"]


def test_closing_the_window_ends_it():
    with window.Window(EnvironmentSource("CartPole-v1")) as opened:
        actor = build_actor(4, 2, (4,), seed=0)
        assert opened.play(actor, seed=0, greedy=True) > 5
        pygame.event.post(pygame.event.Event(pygame.QUIT))
        assert opened.play(actor, seed=0, greedy=True) is None


@pytest.mark.slow
def test_without_a_screen_playing_says_so(trained):
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    completed = subprocess.run([FASTPPO, "play", trained], env=environment, capture_output=True, text=True, check=False)
    if completed.returncode == 0:
        pytest.skip("there is a screen")
    assert completed.returncode == 1
    assert completed.stderr.startswith("Error: no window can be opened: ")
    assert completed.stderr.endswith("; 'fastppo render' writes a file instead.\n")
