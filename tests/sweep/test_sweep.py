"""Sweeps give the same results however they are executed, and no run is trained twice or lost."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import filling
import numba
import numpy as np
import psutil
import pytest
from agents import agents_taken_back, new_agent
from filling import needs_memory_maps
from runs import FASTPPO, files_of, invoke, message_of
from sweeps import SETTINGS, SHORT, SMALL, comparable, rows_of
from systems import SIGKILL, needs_posix_signals

from agent import PPO, EvaluationResult, adapted_preset, sweep
from agent.process.memory_maps import MemoryMaps
from agent.sweeps import engine, worker
from agent.sweeps.directory import SweepDirectory
from agent.sweeps.engine import Workers
from agent.sweeps.grid import label_of, runs_of
from agent.sweeps.worker import Failure, train_one
from fastcartpole.threads import usable_threads

COLUMNS = "num_envs,steps_per_epoch,hidden_sizes,target_return,epochs,seed,final_return,env_steps,train_s,solved"


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Return the directory of a sweep with one job."""
    directory = tmp_path_factory.mktemp("sweeps") / "serial"
    result = invoke("sweep", "--seeds", "0:4", *SHORT, "--set", "gamma=0.9,0.99", "--jobs", 1, "--out", directory)
    assert result.exit_code == 0, result.output
    return directory


def test_a_sweep_writes_a_row_for_each_run_statistics_and_plots(serial):
    assert {path.name for path in serial.iterdir()} == {
        "sweep.json",
        "results.csv",
        "curves.csv",
        "summary.json",
        "learning_curves.png",
        "performance_profile.png",
    }
    assert (serial / "results.csv").read_text().startswith(COLUMNS.replace("epochs,", "epochs,gamma,"))
    rows = rows_of(serial)
    assert [(row["gamma"], row["seed"]) for row in rows] == [(g, str(s)) for g in ("0.9", "0.99") for s in range(4)]
    assert {row["env_steps"] for row in rows} == {"768"}
    summary = json.loads((serial / "summary.json").read_text())
    assert len(summary) == 2
    for label, figures in summary.items():
        gamma = label.rsplit("gamma=")[-1]
        returns = [float(row["final_return"]) for row in rows if row["gamma"] == gamma]
        assert figures["mean"]["value"] == pytest.approx(sum(returns) / 4)
        assert figures["mean"]["low"] <= figures["mean"]["value"] <= figures["mean"]["high"]
        assert (figures["runs"], figures["failed"], figures["steps_to_solve"]) == (4, 0, None)
    for name in ("learning_curves.png", "performance_profile.png"):
        assert (serial / name).read_bytes().startswith(b"\x89PNG")


def test_each_run_is_the_training_of_its_seed_and_settings(serial):
    config = adapted_preset("fast", num_envs=8, steps_per_epoch=256, hidden_sizes=(8,), epochs=3, target_return=None)
    for row in rows_of(serial)[::3]:
        with agents_taken_back():
            ppo = new_agent(config.replace(gamma=float(row["gamma"]), seed=int(row["seed"])))
            ppo.train()
            assert float(row["final_return"]) == ppo.evaluate().mean


@pytest.mark.slow
def test_two_jobs_give_the_same_results_and_import_nothing_of_the_current_folder(
    serial, tmp_path, hostile_folder, monkeypatch
):
    monkeypatch.chdir(hostile_folder.path)
    directory = tmp_path / "parallel"
    arguments = ("--seeds", "0:4", *SHORT, "--set", "gamma=0.9,0.99", "--jobs", 2, "--out", directory)
    result = invoke("sweep", *arguments)
    assert result.exit_code == 0, result.output
    assert rows_of(directory) == rows_of(serial)
    assert rows_of(directory, "curves.csv") == rows_of(serial, "curves.csv")
    assert hostile_folder.imported() == []


def test_from_python_it_is_the_same_and_tells_of_every_run(serial):
    told = []
    result = sweep(range(4), {**SETTINGS, "gamma": [0.9, 0.99]}, jobs=1, on_result=told.append)
    assert tuple(told) == result.results
    rows = rows_of(serial)
    assert [outcome.final_return for _, outcome in result.results] == [float(row["final_return"]) for row in rows]
    assert len(result.summaries()) == 2
    assert result.failures == []


@pytest.mark.slow
def test_a_run_that_is_lost_with_its_worker_is_trained_by_another():
    serial = sweep(range(6), SETTINGS, jobs=1)
    killed = []

    def kill_a_worker(_):
        if not killed:
            children = psutil.Process().children(recursive=True)
            workers = [child for child in children if "loky" in " ".join(child.cmdline())]
            killed.append(next(child for child in workers if "resource_tracker" not in " ".join(child.cmdline())))
            killed[0].kill()

    assert comparable(sweep(range(6), SETTINGS, jobs=2, on_result=kill_a_worker)) == comparable(serial)
    assert killed


def ending_its_worker(run, *_):
    """Train a run, or end the process if the seed is 0, as a run that exhausts the memory would."""
    if run.config.seed == 0:
        time.sleep(0.3)
        os._exit(9)
    return run, train_one(run.config)


@pytest.mark.slow
def test_a_run_that_always_ends_its_worker_is_a_failure_and_takes_no_other_down(monkeypatch):
    monkeypatch.setattr(engine, "_train", ending_its_worker)
    result = sweep(range(6), SETTINGS, jobs=2)
    ((run, failure),) = result.failures
    assert run.config.seed == 0
    assert failure.reason == "its worker was lost 4 times"
    assert len(result.groups()[label_of(run)][0]) == 5


def test_a_run_that_fails_is_reported_and_ends_nothing(tmp_path):
    directory = tmp_path / "sweep"
    arguments = ("--seeds", "0:2", *SHORT, "--set", "value_learning_rate=1e-3,1e25", "--jobs", 1)
    result = invoke("sweep", *arguments, "--out", directory)
    assert result.exit_code == 1
    errors = result.stderr.splitlines()
    assert len(errors) == 2
    for seed, line in enumerate(errors):
        assert line.startswith(f"Error: seed {seed}, ")
        assert "value_learning_rate=1e+25: DivergenceError in divergence.py, line " in line
        assert ": The training has diverged: in epoch " in line
    rows = rows_of(directory)
    assert [bool(row["error"]) for row in rows] == [False, False, True, True]
    whole, failed = json.loads((directory / "summary.json").read_text()).values()
    assert (whole["runs"], whole["failed"]) == (2, 0)
    # A failure does not count as a return of 0.
    assert (failed["runs"], failed["failed"], failed["failed_share"]) == (2, 2, 1.0)
    assert (failed["mean"], failed["interquartile_mean"], failed["solved"]) == (None, None, None)
    assert "(100% failed)" in result.stdout
    # Failed runs are trained again, finished ones are not.
    again = invoke("sweep", "--resume", directory, "--jobs", 1)
    assert again.exit_code == 1
    assert sum(line.startswith("seed ") for line in again.stdout.splitlines()) == 2
    assert rows_of(directory) == rows


def test_a_new_sweep_that_cannot_be_written_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource")
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, previous[1]))
    try:
        message = message_of(invoke("sweep", *SHORT, "--jobs", 1, "--out", tmp_path / "new" / "sweep"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, previous)
    assert "cannot be written: File too large." in message
    assert list(tmp_path.iterdir()) == []


def wait_for_rows(directory, number, process):
    while not (directory / "results.csv").exists() or len(rows_of(directory)) < number:
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, SIGKILL])
@needs_posix_signals
def test_a_sweep_that_was_ended_goes_on_where_it_stopped(serial, tmp_path, ending):
    directory = tmp_path / "sweep"
    arguments = ["sweep", "--seeds", "0:4", *SHORT, "--set", "gamma=0.9,0.99", "--jobs", "2", "--out", str(directory)]
    process = subprocess.Popen(
        [FASTPPO, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for_rows(directory, 1, process)
    # A terminal sends the signal to the workers as well.
    os.killpg(process.pid, ending)
    _, errors = process.communicate(timeout=60)
    if ending == signal.SIGINT:
        assert process.returncode == 130
        assert errors == f"Interrupted. To continue: fastppo sweep --resume {directory}\n"
    ended = rows_of(directory)
    assert 1 <= len(ended) < 8
    result = invoke("sweep", "--resume", directory, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert sum(line.startswith("seed ") for line in result.stdout.splitlines()) == 8 - len(ended)
    assert rows_of(directory) == rows_of(serial)
    assert rows_of(directory, "curves.csv") == rows_of(serial, "curves.csv")
    assert (
        json.loads((directory / "summary.json").read_text()).keys()
        == json.loads((serial / "summary.json").read_text()).keys()
    )


def test_a_line_that_is_not_whole_is_no_result(serial, tmp_path):
    directory = tmp_path / "sweep"
    directory.mkdir()
    for name, content in files_of(serial).items():
        (directory / name).write_bytes(content)
    for name in ("results.csv", "curves.csv"):
        text = (directory / name).read_text()
        (directory / name).write_text(text[:-4])
    result = invoke("sweep", "--resume", directory, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert rows_of(directory) == rows_of(serial)
    assert rows_of(directory, "curves.csv") == rows_of(serial, "curves.csv")


def test_two_processes_do_not_work_at_one_sweep(serial):
    before = files_of(serial)
    with SweepDirectory(serial).locked():
        message = message_of(invoke("sweep", "--resume", serial))
    assert f"another process is working in '{serial}'." in message
    assert files_of(serial) == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("sweep.json", None, "is not a sweep: "),
        ("sweep.json", "{", "sweep.json' is damaged: "),
        ("sweep.json", '{"format": 9}', "sweep.json' has format 9; this version of fastppo reads 2."),
        (
            "sweep.json",
            '{"format": 2, "preset": "fast", "seeds": [0], "settings": {"speed": [1]}, "environment": {}}',
            "unknown setting 'speed'",
        ),
        ("results.csv", None, "is not a sweep: "),
        ("results.csv", "a,b\n1,2\n", "damaged, or from another sweep: results.csv must have the columns num_envs, "),
        ("curves.csv", "", "curves.csv must have the columns num_envs, "),
    ],
)
def test_a_damaged_sweep_is_named_and_left_alone(serial, tmp_path, name, content, message):
    directory = tmp_path / "sweep"
    directory.mkdir()
    for path, bytes_ in files_of(serial).items():
        (directory / path).write_bytes(bytes_)
    (directory / name).unlink()
    if content is not None:
        (directory / name).write_text(content)
    before = files_of(directory)
    said = message_of(invoke("sweep", "--resume", directory))
    assert "Invalid value for '--resume': " in said
    assert message in said
    assert files_of(directory) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--seeds", "0:1" + "0" * 30), "are more than 1,000,000 seeds."),
        (
            ("--seeds", "0:1000000", "--set", "gamma=0.9,0.8"),
            "seeds and settings make 2,000,000 runs, at most 1,000,000",
        ),
        (("--seeds", "4:4"), "Invalid value for '--seeds': '4:4' holds no seed"),
        (("--set", "speed=1"), "Invalid value for '--set': unknown setting 'speed'; there are "),
        (("--set", "gamma=2"), "gamma must be at most 1, got 2."),
        (("--set", "gamma=0.9", "--set", "gamma=0.8"), "Invalid value for '--set': gamma is set twice."),
        (("--set", "envs=1000000000000"), "num_envs=1000000000000 would take at least 139,698 GiB of memory"),
        (("--jobs", "0"), "Invalid value for '--jobs': 0 is not in the range x>=1."),
        (("--backend", "slurm"), "'slurm' is not one of 'loky', 'ray', 'dask'."),
        (("--address", "localhost:1"), "--address is for a cluster: it needs --backend ray or --backend dask."),
        (
            ("--backend", "dask", "--address", "127.0.0.1:1"),
            "Invalid value for '--address': address must be that of a cluster; nothing answers at '127.0.0.1:1'.",
        ),
        (("--resume", "nothing"), "Directory 'nothing' does not exist."),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_leaves_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in message_of(invoke("sweep", *arguments))
    assert list(tmp_path.iterdir()) == []


def test_settings_of_the_sweep_cannot_be_changed_when_it_is_resumed(serial):
    before = files_of(serial)
    for option, value in (("--seeds", "0:9"), ("--set", "gamma=0.5"), ("--preset", "keras"), ("--out", "x")):
        message = message_of(invoke("sweep", "--resume", serial, option, value))
        assert f"--resume takes {option} from the sweep; it cannot be given with it." in message
    assert f"'{serial}' exists and is not an empty directory." in message_of(invoke("sweep", "--out", serial))
    assert files_of(serial) == before


def test_numpy_numbers_are_recorded_like_others(tmp_path):
    settings = {name: np.array(values) if name == "envs" else values for name, values in SETTINGS.items()}
    result = sweep(np.arange(1), {**settings, "gamma": [np.float32(0.5)]}, jobs=np.int64(1), out=tmp_path / "o")
    assert result.failures == []
    assert json.loads((tmp_path / "o" / "sweep.json").read_text())["settings"]["gamma"] == [0.5]
    ((run, outcome),) = result.results
    assert SweepDirectory(tmp_path / "o").read([run]) == {run.key: outcome}


def test_wrong_arguments_of_the_function_are_named(tmp_path):
    for arguments, error, message in (
        ({"seeds": []}, ValueError, "seeds must hold at least one seed"),
        ({"jobs": 0}, ValueError, "jobs must be at least 1, got 0"),
        ({"settings": {"gamma": 0.9}}, TypeError, "settings must hold a list of values for gamma, got 0.9"),
        ({"address": "localhost:1"}, ValueError, "address is for a cluster: it needs backend 'ray' or 'dask'"),
        ({"backend": "slurm"}, ValueError, "backend must be one of loky, ray, dask, got 'slurm'"),
        ({"settings": {"gamma": [3]}}, ValueError, "gamma must be at most 1"),
    ):
        with pytest.raises(error, match=message):
            sweep(**{"seeds": [0], "out": tmp_path / "out", **arguments})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_worker_compiles_once_for_trainings_that_can_share_and_keeps_few_agents(monkeypatch):
    worker._AGENTS.clear()
    monkeypatch.setattr(worker, "_MOST_AGENTS", 2)
    config = adapted_preset("fast", num_envs=8, steps_per_epoch=256, hidden_sizes=(8,), epochs=2, target_return=None)
    for changes in ({"seed": 1}, {"gamma": 0.9}, {"policy_learning_rate": 1e-4}, {"epochs": 3}, {"clip_ratio": 0.1}):
        train_one(config.replace(**changes))
    (agent,) = worker._AGENTS.values()
    assert len(agent._update._compiled) == 1
    for size in (1, 2):
        train_one(config.replace(hidden_sizes=(size,)))
    assert len(worker._AGENTS) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("first\nsecond"), r"RuntimeError in test_sweep\.py, line \d+: first"),
        (AssertionError(), r"AssertionError in test_sweep\.py, line \d+: AssertionError"),
    ],
)
def test_whatever_a_training_raises_is_a_failure_with_its_type_and_place(monkeypatch, error, reason):
    def fail(*_):
        raise error

    monkeypatch.setattr(worker, "_agent", fail)
    failure = train_one(adapted_preset("fast", num_envs=8))
    assert isinstance(failure, Failure)
    assert re.fullmatch(reason, failure.reason)


class LossError(Exception):
    """Replaces the error that a backend raises if a worker is lost."""


def losing(monkeypatch, jobs, fatal, accidents=()):
    """Let runs be lost together with those in flight: always for seeds in ``fatal``, once for those in ``accidents``.

    Returns:
        The list of the seeds of each batch that the workers receive.
    """
    batches, accidents = [], set(accidents)

    def parallel_outcomes(runs, _backend, number):
        assert number == jobs
        seeds = [run.config.seed for run in runs]
        batches.append(seeds)
        for index, run in enumerate(runs):
            in_flight = set(seeds[index : index + jobs])
            if lost := in_flight & (set(fatal) | accidents):
                accidents.difference_update(lost)
                raise LossError
            yield run, run.config.seed

    monkeypatch.setattr(engine, "_parallel_outcomes", parallel_outcomes)
    monkeypatch.setattr(engine, "_worker_losses", lambda _: (LossError,))
    return batches


def test_after_a_worker_was_lost_by_accident_all_runs_are_trained_side_by_side_again(monkeypatch):
    batches = losing(monkeypatch, 4, fatal=(), accidents=(9,))
    runs = runs_of("fast", range(20), {})
    ended = [outcome for _, outcome in engine.outcomes(runs, Workers(4))]
    assert sorted(ended) == list(range(20))
    # Only as many runs as there are jobs were in flight; they follow the others, and not one by one.
    assert batches == [list(range(20)), list(range(10, 20)), [6, 7, 8, 9]]


def test_a_run_that_always_loses_its_worker_is_trained_alone_in_the_end_and_given_up(monkeypatch):
    batches = losing(monkeypatch, 3, fatal=(4,))
    runs = runs_of("fast", range(9), {})
    ended = {run.config.seed: outcome for run, outcome in engine.outcomes(runs, Workers(3))}
    assert ended == {**{seed: seed for seed in range(9)}, 4: Failure("its worker was lost 4 times")}
    assert [batch for batch in batches if len(batch) == 1] == [[2], [3], [4], [4]]


def test_runs_that_used_up_workers_leave_to_others_are_trained_by_their_replacements(monkeypatch):
    batches, replaced = [], []

    def parallel_outcomes(runs, *_):
        # Each process trains two runs, and then leaves the rest of the batch.
        batches.append([run.config.seed for run in runs])
        for index, run in enumerate(runs):
            yield run, run.config.seed if index < 2 else None

    monkeypatch.setattr(engine, "_parallel_outcomes", parallel_outcomes)
    monkeypatch.setattr(
        engine, "get_reusable_executor", lambda: SimpleNamespace(shutdown=lambda **_: replaced.append(1))
    )
    ended = {run.config.seed: outcome for run, outcome in engine.outcomes(runs_of("fast", range(5), {}), Workers(2))}
    assert ended == {seed: seed for seed in range(5)}
    assert batches == [[0, 1, 2, 3, 4], [2, 3, 4], [4]]
    assert len(replaced) == 2


@pytest.mark.parametrize(
    ("process", "has_trained", "number", "is_left"),
    [
        ("worker", True, 501, True),
        ("worker", True, 500, False),
        # Otherwise no process would ever train a run that another one has left.
        ("worker", False, 900, False),
        ("main process", True, 900, False),
    ],
)
def test_a_worker_leaves_a_run_once_half_of_its_memory_maps_are_used(
    monkeypatch, process, has_trained, number, is_left
):
    (run,) = runs_of("fast", [0], {})
    monkeypatch.setattr(worker, "memory_maps", lambda: MemoryMaps(number, 1000))
    monkeypatch.setattr(worker, "_HAS_TRAINED", has_trained)
    monkeypatch.setattr(engine, "_prepare_worker", lambda _: None)
    monkeypatch.setattr(engine, "train_one", lambda _: "trained")
    main_process = os.getpid() if process == "main process" else -1
    assert engine._train(run, "loky", main_process) == (run, None if is_left else "trained")


@needs_memory_maps
@pytest.mark.slow
def test_workers_whose_memory_maps_each_run_uses_up_are_replaced_and_all_runs_end_well(tmp_path, monkeypatch):
    tests = str(Path(filling.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([tests, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    notes = tmp_path / "processes.txt"
    result = sweep(range(3), SETTINGS, env_id="filling:Filling-v0", env_kwargs={"notes": str(notes)}, jobs=2)
    assert result.failures == []
    assert len(set(notes.read_text().split())) == 3


@pytest.mark.parametrize(("jobs", "expected"), [(-1, 7), (5, 5), (9, 7)])
@pytest.mark.parametrize("backend", ["ray", "dask"])
def test_jobs_on_a_cluster_are_those_of_the_cluster_whatever_this_machine_has(monkeypatch, backend, jobs, expected):
    monkeypatch.setattr(engine, f"_cores_of_{backend}", lambda: 7)
    monkeypatch.setattr(engine.joblib, "cpu_count", lambda: 64)
    assert engine._number_of_jobs(Workers(jobs, backend)) == expected


@pytest.mark.parametrize("backend", ["loky", "ray", "dask"])
def test_a_process_of_others_keeps_its_settings_and_a_training_there_takes_one_thread(monkeypatch, backend):
    (run,) = runs_of("fast", [0], {"envs": [4096]})
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 8)
    threads = []
    monkeypatch.setattr(engine, "train_one", lambda config: threads.append(usable_threads(None, config.num_envs, 128)))
    before = dict(os.environ)
    engine._train(run, backend, os.getpid())
    assert threads == [8 if backend == "loky" else 1]
    assert dict(os.environ) == before
    assert usable_threads(None, 4096, 128) == 8


def test_the_final_return_is_of_episodes_that_did_not_end_the_training(monkeypatch):
    monkeypatch.setattr(PPO, "validate", lambda _: EvaluationResult((500.0,), (500,)))
    monkeypatch.setattr(PPO, "evaluate", lambda _: EvaluationResult((7.0,), (7,)))
    config = adapted_preset("fast", num_envs=8, steps_per_epoch=2048, hidden_sizes=(8,), target_return=8.0)
    outcome = train_one(config.replace(policy_learning_rate=1e-6, epochs=4))
    assert (outcome.final_return, outcome.solved, outcome.ended_early) == (7.0, False, True)


@pytest.mark.slow
def test_without_a_name_sweeps_get_directories_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        arguments = ("--preset", "keras", "--seeds", "3:4", *SMALL[2:6], "--set", "epochs=1", "--jobs", 1)
        result = invoke("sweep", *arguments)
        assert result.exit_code == 0, result.output
    directories = sorted((tmp_path / "runs").iterdir())
    assert len(directories) == 2
    assert all(path.name.startswith("sweep-keras-2") for path in directories)
    assert rows_of(directories[0]) == rows_of(directories[1])
