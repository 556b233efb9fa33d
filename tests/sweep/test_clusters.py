"""Sweeps on Ray and Dask clusters, started on the loopback interface, give the results of a single process."""

import subprocess
import time

import psutil
import pytest
from runs import FASTPPO, invoke
from sweeps import SHORT, rows_of

pytestmark = [
    pytest.mark.clusters,
    pytest.mark.timeout(240),
    # The cluster libraries cause warnings.
    pytest.mark.filterwarnings("default"),
]
LOOPBACK = "127.0.0.1"
RUNS = ("--seeds", "0:8", *SHORT)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sweeps") / "serial"
    assert invoke("sweep", *RUNS, "--jobs", 1, "--out", directory).exit_code == 0
    return rows_of(directory), rows_of(directory, "curves.csv")


@pytest.fixture(scope="module")
def ray_cluster():
    """Start a Ray cluster of two nodes with one core each; return its address."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    # This is a loopback address too; Ray replaces 127.0.0.1 by the address of the machine's other interface.
    node = {"num_cpus": 1, "node_ip_address": "127.0.0.2"}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def dask_cluster():
    """Start a Dask cluster of two workers; return its address."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "host": LOOPBACK, "dashboard_address": f"{LOOPBACK}:0"}
    with distributed.LocalCluster(**options) as cluster:
        yield cluster.scheduler_address


def start(directory, *options):
    return subprocess.Popen(
        [FASTPPO, "sweep", *RUNS, *options, "--out", directory],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def assert_ends_as(serial, directory, process):
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert (rows_of(directory), rows_of(directory, "curves.csv")) == serial


def command_of(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def kill_one_after_the_first_result(directory, process, is_worker):
    while not (directory / "results.csv").exists() or not rows_of(directory):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    # The processes of the clusters are children of this one.
    children = psutil.Process().children(recursive=True)
    workers = [candidate for candidate in children if is_worker(command_of(candidate))]
    assert len(workers) == 2
    workers[0].kill()
    assert len(rows_of(directory)) < 8


def test_two_nodes_of_ray_give_the_results_of_one_process(ray_cluster, serial, tmp_path):
    process = start(tmp_path / "sweep", "--backend", "ray", "--address", ray_cluster)
    assert_ends_as(serial, tmp_path / "sweep", process)


def test_a_worker_of_ray_that_is_killed_is_replaced(ray_cluster, serial, tmp_path):
    process = start(tmp_path / "sweep", "--backend", "ray", "--address", ray_cluster)
    kill_one_after_the_first_result(tmp_path / "sweep", process, lambda command: command.startswith("ray::PoolActor"))
    assert_ends_as(serial, tmp_path / "sweep", process)


def test_two_workers_of_dask_give_the_results_of_one_process(dask_cluster, serial, tmp_path):
    process = start(tmp_path / "sweep", "--backend", "dask", "--address", dask_cluster)
    assert_ends_as(serial, tmp_path / "sweep", process)


def test_a_worker_of_dask_that_is_killed_is_replaced(dask_cluster, serial, tmp_path):
    process = start(tmp_path / "sweep", "--backend", "dask", "--address", dask_cluster)
    kill_one_after_the_first_result(tmp_path / "sweep", process, lambda command: "spawn_main" in command)
    assert_ends_as(serial, tmp_path / "sweep", process)


@pytest.mark.parametrize("backend", ["ray", "dask"])
def test_the_command_starts_a_cluster_of_its_own(backend, serial, tmp_path):
    pytest.importorskip({"ray": "ray", "dask": "distributed"}[backend])
    assert_ends_as(serial, tmp_path / "sweep", start(tmp_path / "sweep", "--backend", backend, "--jobs", "2"))
