"""``import fastppo`` provides the names of ``agent``, is fast, and works next to other modules named ``agent``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import agent
import fastcartpole
import fastppo
from agent.cli import main
from agent.errors import explained

ROOT = Path(__file__).parents[1]


def run(directory, *arguments, path=None):
    """Run Python in a directory; return its standard output."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path or []))}
    completed = subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_every_public_name_is_reexported_and_can_be_completed():
    for name in agent.__all__:
        assert getattr(fastppo, name) is getattr(agent, name)
    assert {*agent.__all__, "__version__"} == set(fastppo.__all__) <= set(dir(fastppo))
    assert set(agent.__all__) <= set(dir(agent))
    assert [name for name in dir(fastppo) if not name.startswith("_")] == sorted(agent.__all__)
    assert [name for name in dir(fastcartpole) if not name.startswith("_")] == sorted(fastcartpole.__all__)
    for module in (agent, fastppo, fastcartpole):
        with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
            _ = module.nonsense


def test_type_checkers_know_every_public_name():
    text = (ROOT / "fastppo" / "__init__.py").read_text()
    for name in agent.__all__:
        assert f"    from agent import {name} as {name}\n" in text


def test_importing_fastppo_is_cheap(tmp_path):
    code = (
        "import sys, fastppo\n"
        "fastppo.PPOConfig(num_envs=8), fastppo.preset_config('keras'), fastppo.__version__\n"
        "print(sorted({'tensorflow', 'keras', 'numba', 'gymnasium', 'numpy', 'bench'} & set(sys.modules)))\n"
    )
    assert run(tmp_path, "-c", code) == "[]\n"


@pytest.mark.parametrize("name", ["agent.py", "agent/__init__.py"])
def test_fastppo_works_next_to_a_users_module_named_agent_and_leaves_it_alone(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("MINE = True\n")
    (tmp_path / "script.py").write_text(
        "import fastppo\n"
        "import agent\n"
        "import pickle\n"
        "config = fastppo.adapted_preset(num_envs=2)\n"
        "assert pickle.loads(pickle.dumps(config)) == config\n"
        "print(agent.MINE, type(config).__module__)\n"
    )
    assert run(tmp_path, "script.py", path=[ROOT]) == "True fastppo.agent.config\n"
    assert run(tmp_path, "-m", "fastppo", "--version", path=[ROOT]).startswith("fastppo 0.")


@pytest.mark.slow
def test_fastppo_trains_next_to_a_users_module_named_agent(tmp_path):
    (tmp_path / "agent.py").write_text("")
    arguments = ("--envs", "8", "--steps-per-epoch", "64", "--epochs", "2", "--out", "run")
    run(tmp_path, "-m", "fastppo", "train", *arguments, path=[ROOT])
    run(tmp_path, "-m", "fastppo", "train", "--resume", "run", "--epochs", "3", path=[ROOT])
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 4
    code = "import fastppo; ppo = fastppo.load('run'); print(fastppo.PPO.__module__, ppo.epoch)"
    assert run(tmp_path, "-c", code, path=[ROOT]) == "fastppo.agent.ppo 3\n"


def test_pickles_made_next_to_a_users_module_named_agent_can_be_read_elsewhere(tmp_path):
    (tmp_path / "agent.py").write_text("")
    code = "import fastppo, pickle, sys; sys.stdout.write(pickle.dumps(fastppo.PPOConfig(seed=7), 0).decode())"
    text = run(tmp_path, "-c", code, path=[ROOT])
    (tmp_path / "elsewhere").mkdir()
    code = f"import pickle; print(pickle.loads({text.encode()!r}).seed)"
    assert run(tmp_path / "elsewhere", "-c", code, path=[ROOT]) == "7\n"


def test_python_dash_m_is_the_command(tmp_path):
    assert run(tmp_path, "-m", "fastppo", "--help").startswith("Usage: python -m fastppo ")


def test_the_benchmark_adds_its_command_without_being_imported_by_the_help(tmp_path):
    code = (
        "import sys; from agent.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print('bench' in sys.modules)\n"
    )
    lines = run(tmp_path, "-c", code).splitlines()
    assert lines[-1] == "False"
    from bench.cli import bench

    (told,) = [line.split(maxsplit=1)[1] for line in lines if line.split()[:1] == ["bench"]]
    assert told == bench.get_short_help_str(limit=100)
    assert main.commands["bench"].load() is bench


def test_an_incomplete_installation_is_reported_in_one_sentence(tmp_path):
    code = (
        "import sys; sys.modules['fastcartpole'] = None\n"
        "import fastppo\n"
        "try:\n    fastppo.PPO\nexcept ImportError as error:\n    print(error)\n"
    )
    assert run(tmp_path, "-c", code).startswith("fastcartpole, which is a part of fastppo, is missing or incomplete")
    other = ImportError("no", name="other")
    assert explained(other) is other


def test_an_attribute_error_within_an_import_is_not_taken_for_a_missing_name(monkeypatch):
    def fail(module, *_):
        raise AttributeError(f"{module} is broken")

    monkeypatch.setattr(agent, "import_module", fail)
    with pytest.raises(ImportError, match=r"PPO cannot be imported: \.ppo is broken"):
        _ = fastppo.PPO


@pytest.mark.slow
def test_training_from_a_script_prints_nothing_by_default(tmp_path):
    code = (
        "from fastppo import PPO, preset_config\n"
        "with PPO(preset_config(num_envs=4, steps_per_epoch=64, epochs=1, hidden_sizes=(4,))) as ppo:\n"
        "    ppo.train()\n"
    )
    completed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (completed.stdout, completed.stderr) == ("", "")
