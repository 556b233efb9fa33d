"""``fastppo bench`` as users see it."""

import importlib
import json
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from agents import agents_taken_back, new_agent
from click.testing import CliRunner
from matplotlib.image import imread

from agent import adapted_preset
from agent.cli import main
from bench import cli, env, gymnasium, harness, machine, rollout, train
from bench.cli import FAMILIES, ON_REQUEST
from bench.process import MeasurementError, PeerProcess, WrongResultError
from bench.report import as_markdown, format_figure, format_rate, print_report
from bench.results import CaseResult, Distribution, Skipped, Timing, as_json
from bench.startup import run_command
from bench.workloads import our_agent
from bench.workloads.limits import MatrixProducts, MemoryCopies
from bench.workloads.solving import greedy_mean
from bench.workloads.transitions import initial_weights, some_transitions

MACHINE_KEYS = {
    "processor",
    "cores",
    "memory_gib",
    "system",
    "python",
    "threads",
    "versions",
    "commit",
    "date",
    "command",
}
ENTRANT_KEYS = {
    *("name", "side", "work", "durations", "first_call_s", "peak_memory_mib", "threads", "rate", "ratios"),
}


def invoke(*arguments):
    return CliRunner().invoke(main, ["bench", *(str(argument) for argument in arguments)])


def check_schema(content):
    """Check every field of the output of ``--json``."""
    assert set(content) == {"format", "machine", "cases", "distributions", "not_measured"}
    assert content["format"] == 1
    assert set(content["machine"]) == MACHINE_KEYS
    for case in content["cases"]:
        assert set(case) == {"family", "case", "num_envs", "unit", "entrants"}
        ours = next((entrant for entrant in case["entrants"] if entrant["side"] == "ours"), None)
        for entrant in case["entrants"]:
            assert set(entrant) == ENTRANT_KEYS
            assert entrant["side"] in ("ours", "peer", "limit")
            assert all(duration > 0 for duration in entrant["durations"])
            assert entrant["work"] > 0
            assert entrant["rate"] == pytest.approx(entrant["work"] / np.median(entrant["durations"]), rel=0.5)
            assert entrant["first_call_s"] > 0
            assert entrant["peak_memory_mib"] is None or entrant["peak_memory_mib"] > 10
            assert len(entrant["ratios"]) == (0 if ours in (None, entrant) else len(entrant["durations"]))
    for distribution in content["distributions"]:
        assert set(distribution) == {"family", "case", "num_envs", "unit", "name", "side", "values"}
        assert distribution["values"]
    for skipped in content["not_measured"]:
        assert set(skipped) == {"family", "case", "num_envs", "name", "reason"}
        assert skipped["reason"]


def names_of(content, family):
    return {
        (case["case"], e["name"]) for case in content["cases"] if case["family"] == family for e in case["entrants"]
    }


@pytest.fixture
def short(monkeypatch):
    """Let repetitions take a fraction of a second."""
    monkeypatch.setattr(harness, "_REPETITION_S", 0.001)
    monkeypatch.setattr(harness, "_LEAST_ROUNDS", 1)


def measured(tmp_path, *arguments):
    """Run a benchmark; return its JSON and Markdown output."""
    result = invoke(*arguments, "--repeats", 1, "--json", tmp_path / "a.json", "--markdown", tmp_path / "a.md")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    check_schema(content)
    return content, (tmp_path / "a.md").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_environments_are_measured_with_whatever_peers_there_are(tmp_path):
    content, markdown = measured(tmp_path, "env", "--envs", 1, "--envs", 40)
    ours_and_gymnasium = {"fastcartpole, exact", "fastcartpole, fast", "Gymnasium CartPoleVectorEnv"}
    assert names_of(content, "env") >= {("step", name) for name in ours_and_gymnasium | {"Gymnasium SyncVectorEnv"}}
    assert ("rollout in one call, 1 thread", "memory bandwidth, 1 core") in names_of(content, "env")
    if shutil.which("cc"):
        assert ("rollout in one call, 1 thread", "float32 loop in C") in names_of(content, "env")
    entrants = {
        entrant.name
        for size in (1, 40)
        for case in env.cases(size)
        for entrant in case.entrants
        if not entrant.packages
    }
    assert {skipped["name"] for skipped in content["not_measured"]}.isdisjoint(entrants - {"float32 loop in C"})
    for skipped in content["not_measured"]:
        assert skipped["reason"].endswith("not installed: pip install 'fastppo[bench-peers]'.")
        assert f"{skipped['name']}: {skipped['reason']}" in markdown
    for case in content["cases"]:
        title = f"## env: {case['case']}, {case['num_envs']} environment"
        assert title in markdown
        assert all(f"| {entrant['side']} | {entrant['name']} | " in markdown for entrant in case["entrants"])


@pytest.mark.usefixtures("short")
@pytest.mark.slow
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "env"])
def test_every_family_is_measured_without_and_with_peers(tmp_path, family):
    content, _ = measured(tmp_path, family, "--envs", 8, "--seeds", 1)
    without_peers = {"rollout": 5, "update": 4, "train": 10, "solve": 8, "startup": 10}[family]
    found = len(content["distributions"]) + sum(len(case["entrants"]) for case in content["cases"])
    assert found >= without_peers
    for skipped in content["not_measured"]:
        assert "not installed" in skipped["reason"] or skipped["name"] == "one with half of the cores"


@pytest.mark.usefixtures("short")
@pytest.mark.peers
@pytest.mark.parametrize("family", ["env", "rollout", "train", "solve", "gymnasium"])
def test_every_peer_is_measured(tmp_path, family):
    content, _ = measured(tmp_path, family, "--envs", 8 if family != "gymnasium" else 1, "--seeds", 1)
    assert content["not_measured"] == []


@pytest.mark.peers
def test_the_peer_in_jax_learns_cartpole():
    with PeerProcess("bench.workloads.jax_ppo:JaxPPO", 4, 128, 200, 20) as process:
        lengths = [process.call("run") for _ in range(10)]
    assert max(lengths) > 4 * lengths[0]


@pytest.mark.usefixtures("short")
@pytest.mark.slow
def test_the_cost_of_a_step_is_drawn(tmp_path):
    result = invoke("scaling", "--envs", 1, "--envs", 300, "--repeats", 1, "--plot", tmp_path / "a.png")
    assert result.exit_code == 0, result.output
    assert "scaling: threads of a rollout, 65,536 environments" in result.output
    image = imread(tmp_path / "a.png")[..., :3]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "'nothing' is not one of 'env', 'rollout', 'update', 'train', 'solve', 'startup'"),
        (("--envs", "0"), "0 is not in the range x>=1."),
        (("--repeats", "0"), "0 is not in the range x>=1."),
        (("--time-budget", "0"), "0.0 is not in the range x>0."),
        (("--json", "there.json"), "Invalid value for '--json': 'there.json' exists already; --overwrite replaces it."),
        (("--markdown", "no/a.md"), "Invalid value for '--markdown': 'no' is not a directory."),
        (("--plot", "a.gif"), "Invalid value for '--plot': 'a.gif' must end in .png or .svg or .pdf."),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_nothing_is_measured(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("mine")
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]


def some_measurements():
    ours = Timing("ours", "ours", 5e6, (1.0, 2.0), 0.5, 100.0, 2)
    peer = Timing("theirs", "peer", 5e6, (2.0, 2.0), 3.0, math.nan)
    return [
        CaseResult("env", "step", 256, "steps", (ours, peer)),
        Distribution("solve", "time", 1024, "s", "ours", "ours", (0.25, math.nan, 1.5, 150.0, 12.0, 3.25)),
        Skipped("env", "step", 256, "nobody", "It is not there."),
    ]


def rows_of(output):
    """Return the cells of every row of the tables in ``output``."""
    rows = [line for line in output.splitlines() if line.startswith(("ours ", "peer ", "1,024 "))]
    assert all(len(row) <= 80 for row in rows)
    return [re.split(r" {2,}", row.strip()) for row in rows]


def test_the_report_has_rates_ratios_and_quartiles_within_80_columns(capsys):
    print_report(some_measurements(), machine.describe())
    output = capsys.readouterr().out
    ours, theirs, time = rows_of(output)
    assert ours == ["ours", "ours", "3.75 M steps", "-", "-"]
    assert theirs == ["peer", "theirs", "2.5 M steps", "1.50", "1.00 to 2.00"]
    assert time == ["1,024", "ours", "time", "5 of 6", "1.50", "3.25", "12.0", "s"]
    assert "Not measured: env, step, 256 environments: nobody: It is not there." in output
    assert "Python 3." in output
    assert "numpy " in output
    assert "cores" in output


def test_markdown_and_json_hold_the_same():
    markdown = as_markdown(some_measurements(), machine.describe())
    assert "## env: step, 256 environments" in markdown
    assert "| peer | theirs | 2.5 M steps | 2.5 M to 2.5 M | 1.50 | 1.00 to 2.00 | 3.00 | - | 0 |" in markdown
    assert "- env, step, 256 environments: nobody: It is not there." in markdown
    content = json.loads(json.dumps(as_json(some_measurements(), machine.describe()), allow_nan=False))
    check_schema(content)
    assert content["cases"][0]["entrants"][1]["ratios"] == [2.0, 1.0]
    assert content["distributions"][0]["values"][1] is None


def test_figures_have_three_digits_or_are_whole():
    assert [format_figure(x) for x in (0.3123, 4.5678, 45.678, 456.78, 45678.9)] == [
        *("0.312", "4.57", "45.7", "457", "45,679")
    ]
    assert [format_rate(x, "steps") for x in (3.21, 3214, 3.214e6, 3.214e9)] == [
        *("3.21 steps", "3.21 k steps", "3.21 M steps", "3.21 G steps")
    ]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(WrongResultError("This is wrong."), 1, "Error: This is wrong."), (KeyboardInterrupt, 130, "Interrupted.")],
)
def test_measurements_are_kept_whatever_ends_the_benchmark(tmp_path, monkeypatch, error, code, message):
    def run_tasks(*_):
        yield from some_measurements()
        raise error

    monkeypatch.setattr("bench.tasks.run_tasks", run_tasks)
    result = invoke("env", "--json", tmp_path / "a.json")
    assert result.exit_code == code
    assert result.stderr.splitlines()[-1] == message
    assert "theirs" in result.stdout
    assert len(json.loads((tmp_path / "a.json").read_text())["cases"]) == 1


@pytest.mark.parametrize("family", [*FAMILIES, *ON_REQUEST])
def test_each_family_runs_alone(family):
    completed = subprocess.run(
        [sys.executable, "-m", f"bench.{family}", "--help"], capture_output=True, text=True, check=True
    )
    assert completed.stdout.startswith(f"Usage: python -m bench.{family} ")


def test_all_families_except_long_ones_are_measured_by_default(monkeypatch):
    measured_families = []
    monkeypatch.setattr(cli, "_measure", lambda families, *_: measured_families.append(families))
    invoke()
    invoke("env", "--plot", "never.png")
    assert measured_families == [FAMILIES, ("env", "scaling")]


def test_every_factory_exists_where_its_packages_do():
    elsewhere = [gymnasium.case_of(env_id, 16) for env_id in ("Acrobot-v1", "Pendulum-v1")]
    for case in (
        *env.cases(1),
        rollout.case_of_keras(),
        train.case_of_keras(),
        train.case_of_purejaxrl(256),
        *elsewhere,
    ):
        for entrant in case.entrants:
            module, name = entrant.factory.split(":")
            if not entrant.packages:
                assert hasattr(importlib.import_module(module), name)


def test_training_at_purejaxrls_setting_has_its_minibatches_and_a_learning_rate_above_0():
    config = train.purejaxrl_config(num_envs=256)
    assert (config.num_steps, config.gradient_batch_size, config.policy_iterations) == (128, 8192, 16)


def test_limits_do_the_work_they_are_named_for():
    products = MatrixProducts(6, 4, 5, multiply_adds_per_unit=2.0)
    assert products.work == 60.0
    assert products.run() == pytest.approx(float(products._left[0] @ products._right[:, 0]), rel=1e-5)
    copies = MemoryCopies(bytes_per_unit=16.0, threads=3)
    assert copies.run() == 1.0
    assert np.array_equal(copies._source, copies._target)
    assert copies.work * 16.0 == copies._source.nbytes + copies._target.nbytes


def test_solving_is_judged_by_the_mean_return_of_greedy_episodes():
    weights, _ = initial_weights()
    assert 5 < greedy_mean(weights) < 475
    batch = some_transitions(100)
    assert batch.observations.shape == (100, 4)
    assert {len(part) for part in batch} == {100}


def test_a_command_that_fails_is_not_timed(tmp_path):
    with pytest.raises(MeasurementError, match=r"(?s)fastppo train --envs 0 failed: .*Invalid value for '--envs'"):
        run_command(["train", "--envs", "0"], tmp_path, tmp_path)


def test_more_epochs_can_be_measured_than_the_configuration_has(monkeypatch):
    monkeypatch.setattr(our_agent, "PPO", new_agent)
    with agents_taken_back():
        epochs = our_agent.OurEpochs(adapted_preset("fast", num_envs=8, steps_per_epoch=64, epochs=1), 2)
        assert math.isfinite(epochs.run())
        assert math.isfinite(epochs.run())
