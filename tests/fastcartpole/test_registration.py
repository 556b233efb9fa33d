"""Gymnasium finds the environments, and importing the package is cheap."""

import subprocess
import sys

import gymnasium
import pytest

import fastcartpole
from fastcartpole import CartPoleEnv, CartPoleVectorEnv


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.filterwarnings("ignore:.*out of date.*:DeprecationWarning")
@pytest.mark.parametrize(("version", "limit"), [("v1", 500), ("v0", 200)])
def test_make_and_make_vec_give_our_environments(version, limit):
    name = f"fastcartpole/CartPole-{version}"
    single = gymnasium.make(name)
    assert isinstance(single.unwrapped, CartPoleEnv)
    assert single.spec.max_episode_steps == limit
    batch = gymnasium.make_vec(name, num_envs=5)
    assert isinstance(batch, CartPoleVectorEnv)
    assert (batch.num_envs, batch.max_episode_steps) == (5, limit)
    assert gymnasium.make_vec(name, num_envs=5, max_episode_steps=7, precision="fast").max_episode_steps == 7


def test_the_module_prefix_needs_no_import_line():
    code = (
        "import gymnasium as gym\n"
        "print(type(gym.make('fastcartpole:fastcartpole/CartPole-v1').unwrapped).__name__)\n"
        "print(gym.make_vec('fastcartpole:fastcartpole/CartPole-v1', num_envs=256))\n"
    )
    assert python(code).splitlines() == ["CartPoleEnv", "CartPoleVectorEnv(fastcartpole/CartPole-v1, num_envs=256)"]


def test_the_documented_idiom_works():
    gymnasium.register_envs(fastcartpole)
    assert "fastcartpole/CartPole-v1" in gymnasium.registry


def test_importing_the_package_loads_neither_numba_nor_tensorflow():
    code = (
        "import sys, fastcartpole\n"
        "print({'numba', 'llvmlite', 'tensorflow', 'keras', 'torch', 'stable_baselines3'} & set(sys.modules))\n"
    )
    assert python(code) == "set()"


def test_the_import_loads_nothing_that_gymnasium_has_not_loaded():
    code = (
        "import sys, gymnasium\n"
        "before = set(sys.modules)\n"
        "import fastcartpole\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    assert python(code) == "['fastcartpole']"


def test_every_public_name_is_there():
    for name in fastcartpole.__all__:
        assert getattr(fastcartpole, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'CartPole'"):
        fastcartpole.CartPole  # noqa: B018
