"""In every environment, a command gives the same results or says in one sentence why it cannot."""

import json
import os
import subprocess
import sys
import threading

import pytest
from runs import FASTPPO, SMALL, assert_ended_alike, invoke
from systems import needs_posix_shell

from agent.process import surroundings
from agent.rollouts.warm_up import RolloutCompilation


@pytest.fixture
def harsh(tmp_path):
    """Return a combination of environment variables that must not affect training."""
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text('{"floatx": "float16", "backend": "torch"}')
    (tmp_path / "matplotlibrc").write_bytes(b"text.usetex: True\nfigure.dpi: \xff\nbackend: module://nonsense\n")
    (tmp_path / "temporary").mkdir()
    return {
        "KERAS_BACKEND": "",
        "KERAS_HOME": str(tmp_path / "keras"),
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "NUMBA_CACHE_LOCATOR_CLASSES": "Nonsense",
        "NUMBA_NUM_THREADS": "0",
        "PYTHONIOENCODING": "latin-1",
        "PYTHONWARNINGS": "error",
        "SDL_VIDEODRIVER": "nonsense",
        "TMPDIR": str(tmp_path / "temporary"),
    }


def run(*arguments, directory, **environment):
    return subprocess.run(
        [FASTPPO, *map(str, arguments)],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


@pytest.mark.slow
def test_a_training_is_the_same_in_harsh_surroundings_and_leaves_nothing_there(trained, tmp_path, harsh):
    arguments = ("train", *SMALL, "--epochs", 4, "--gif-epochs", 4, "--out", "運行")
    completed = run(*arguments, directory=tmp_path, **harsh)
    assert completed.returncode == 0, completed.stderr
    warning = "Warning: NUMBA_NUM_THREADS is not taken into account: it must be a number of at least 1, not '0'."
    assert completed.stderr.startswith(warning)
    assert "Traceback" not in completed.stderr
    assert completed.stdout.splitlines()[-2] == r"Saved in \u904b\u884c"
    assert_ended_alike(trained, tmp_path / "運行")
    assert (tmp_path / "運行" / "learning_curve.png").exists()
    assert (tmp_path / "運行" / "epoch_4.gif").exists()
    assert list((tmp_path / "temporary").iterdir()) == []


COMMANDS = {
    "train": ("train", *SMALL, "--epochs", "1", "--out", "new"),
    "eval": ("eval", "run", "--episodes", "3"),
    "render": ("render", "run", "--epoch", "1", "--out", "new.gif"),
    "export": ("export", "run", "--format", "onnx", "--out", "new.onnx"),
    "plot": ("plot", "run", "--out", "new.png"),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_works_in_harsh_surroundings(copied_run, tmp_path, harsh, command):
    copied_run.rename(tmp_path / "run")
    completed = run(*COMMANDS[command], directory=tmp_path, **harsh)
    assert completed.returncode == 0, completed.stderr
    assert "Traceback" not in completed.stderr
    # ONNX Runtime leaves the file .ses.
    assert [path.name for path in (tmp_path / "temporary").iterdir() if path.name != ".ses"] == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "eval", "render", "export"])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("KERAS_BACKEND", "torch", "agent needs Keras on TensorFlow, but Keras is to run on 'torch'"),
        ("KERAS_HOME", '{"floatx": "x"}', "Keras' configuration is read from keras.json, in the folder that"),
        ("KERAS_HOME", "[]", "Keras' configuration is read from keras.json, in the folder that"),
        (
            "NUMBA_DISABLE_JIT",
            "1",
            "fastcartpole is compiled by Numba, which NUMBA_DISABLE_JIT switches off: unset it.",
        ),
    ],
)
def test_unusable_settings_are_reported_in_one_sentence(copied_run, tmp_path, command, name, value, message):
    if (command, name) == ("export", "NUMBA_DISABLE_JIT"):
        pytest.skip("no kernel is needed")
    copied_run.rename(tmp_path / "run")
    if name == "KERAS_HOME":
        (tmp_path / "keras.json").write_text(value)
        value = str(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    completed = run(*COMMANDS[command], directory=tmp_path, **{name: value})
    assert completed.returncode == 1
    assert "Traceback" not in completed.stderr
    assert completed.stderr.splitlines()[-1].startswith("Error: the ")
    assert message in completed.stderr.splitlines()[-1]
    assert sorted(tmp_path.rglob("*")) == before


@needs_posix_shell
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_errors(tmp_path, closed):
    completed = subprocess.run(f"'{FASTPPO}' train --envs 0 {closed}", shell=True, cwd=tmp_path, check=False)
    assert completed.returncode == 2


@needs_posix_shell
@pytest.mark.slow
def test_training_without_standard_streams_is_saved(trained, tmp_path):
    command = f"'{FASTPPO}' train {' '.join(SMALL)} --epochs 4 --out o <&- >&- 2>&-"
    assert subprocess.run(command, shell=True, cwd=tmp_path, check=False).returncode == 0
    assert_ended_alike(trained, tmp_path / "o")


def test_a_command_may_run_in_a_thread(trained, tmp_path):
    results = []
    arguments = ("train", *SMALL, "--epochs", 4, "--out", tmp_path / "o")
    thread = threading.Thread(target=lambda: results.append(invoke(*arguments)))
    thread.start()
    thread.join()
    assert results[0].exit_code == 0, results[0].output
    assert_ended_alike(trained, tmp_path / "o")


def test_a_learning_curve_that_cannot_be_drawn_does_not_cost_the_evaluation(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no fonts")

    monkeypatch.setattr("agent.views.plots.plot_learning_curves", fail)
    result = invoke("train", *SMALL, "--epochs", 1, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert result.stderr == "Warning: no learning curve was drawn: no fonts\n"
    assert json.loads((tmp_path / "o" / "evaluation.json").read_text())["episodes"] == 100


def test_the_process_that_compiles_imports_nothing_of_the_current_folder(hostile_folder, monkeypatch):
    from agent import PRESETS
    from agent.rollouts import warm_up

    monkeypatch.chdir(hostile_folder.path)
    monkeypatch.setattr(warm_up, "rollout_kernel_is_on_disk", lambda: False)
    with RolloutCompilation(PRESETS["fast"].replace(num_envs=3)) as compilation:
        compilation.wait()
        assert [process.returncode for process in compilation._processes] == [0, 0]
    assert hostile_folder.imported() == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "eval", "sweep", "bench"])
def test_no_command_imports_anything_of_the_current_folder(hostile_folder, trained, tmp_path, command):
    arguments = {
        "train": ("train", *SMALL, "--epochs", 1, "--out", "o"),
        "eval": ("eval", trained),
        "sweep": ("sweep", "--seeds", "0:2", "--set", "epochs=1", "--jobs", 2, "--out", "o"),
        "bench": ("bench", "update", "--repeats", 1),
    }[command]
    compiled = {"NUMBA_CACHE_DIR": str(tmp_path / "compiled")} if command == "train" else {}
    completed = run(*arguments, directory=hostile_folder.path, **compiled)
    assert completed.returncode == 0, completed.stderr
    assert hostile_folder.imported() == []


def test_matplotlib_is_imported_whatever_backend_the_environment_names():
    code = (
        "from agent.process.surroundings import matplotlib_backend_left_out\n"
        "with matplotlib_backend_left_out():\n"
        "    import matplotlib\n"
        "import os\n"
        "print(os.environ['MPLBACKEND'], dict.__getitem__(matplotlib.rcParams, 'backend'))\n"
    )
    for backend, known in (("nonsense", None), ("svg", "svg"), ("module://nonsense", "module://nonsense")):
        completed = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "MPLBACKEND": backend},
            capture_output=True,
            text=True,
            check=True,
        )
        name, chosen = completed.stdout.split(maxsplit=1)
        assert name == backend
        assert known is None or chosen.strip() == known


def test_processes_started_within_do_not_look_into_the_current_folder(monkeypatch):
    for before in (None, "", "1"):
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
        if before is not None:
            monkeypatch.setenv("PYTHONSAFEPATH", before)
        with surroundings.children_with_safe_path():
            assert os.environ["PYTHONSAFEPATH"] == "1"
        assert os.environ.get("PYTHONSAFEPATH") == before


@pytest.mark.parametrize("what", ["interrupt", "mistake"])
def test_ctrl_c_inside_a_callback_of_a_weak_reference_is_raised_later_without_a_traceback(tmp_path, what):
    code = f"""if True:
        import signal, weakref
        from agent.process.interrupts import interrupt_not_lost
        from agent.process.surroundings import prepare_process

        class Module: pass
        def interrupt(_): signal.raise_signal(signal.SIGINT)
        def mistake(_): 1 / 0

        prepare_process()
        module = Module()
        reference = weakref.ref(module, {what})
        try:
            with interrupt_not_lost():
                del module
                print("imported")
        except KeyboardInterrupt:
            print("interrupted")
    """
    completed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert completed.stdout.split() == {"interrupt": ["imported", "interrupted"], "mistake": ["imported"]}[what]
    assert ("ZeroDivisionError" in completed.stderr) == (what == "mistake")
    assert "KeyboardInterrupt" not in completed.stderr
