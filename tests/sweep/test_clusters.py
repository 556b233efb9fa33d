"""Sweeps on clusters of Ray and Dask, started here, on this machine: the results are those of one process."""

import os

import psutil
import pytest
from runs import invoke
from sweeps import SETTINGS, SHORT, comparable, rows_of

from agent import sweep

pytestmark = [
    pytest.mark.clusters,
    pytest.mark.timeout(600),
    # Of the libraries' own doing.
    pytest.mark.filterwarnings("default"),
]
SEEDS = range(8)
LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="module")
def serial():
    return comparable(sweep(SEEDS, SETTINGS, jobs=1))


@pytest.fixture(scope="module")
def ray_cluster():
    """Start a Ray cluster of two nodes with one core each; return its address."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "node_ip_address": LOOPBACK}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    cluster.wait_for_nodes()
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def dask_cluster():
    """Start a Dask cluster of two workers; return its address."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "host": LOOPBACK, "dashboard_address": f"{LOOPBACK}:0"}
    with distributed.LocalCluster(**options) as cluster:
        yield cluster.scheduler_address


def killer_of(is_worker):
    """Return a callback that kills one process with the first result, and the list that it then stands in."""
    killed = []

    def kill(_):
        if not killed:
            busy = [process for process in psutil.process_iter() if is_worker(process)]
            killed.append(busy[0].pid)
            busy[0].kill()

    return kill, killed


def is_ray_worker(process):
    try:
        return process.cmdline()[:1] != [] and process.cmdline()[0].startswith("ray::PoolActor")
    except psutil.Error:
        return False


def is_dask_worker(process):
    """Return whether it is a child of a Dask nanny in this process: it has imported what trains."""
    try:
        return process.ppid() == os.getpid() and any("tensorflow" in entry.path for entry in process.memory_maps())
    except psutil.Error:
        return False


def test_two_nodes_of_ray_give_the_results_of_one_process(ray_cluster, serial):
    assert comparable(sweep(SEEDS, SETTINGS, jobs=2, backend="ray", address=ray_cluster)) == serial


def test_a_worker_of_ray_that_is_killed_is_replaced(ray_cluster, serial):
    kill, killed = killer_of(is_ray_worker)
    found = sweep(SEEDS, SETTINGS, jobs=2, backend="ray", address=ray_cluster, on_result=kill)
    assert killed
    assert comparable(found) == serial


def test_two_workers_of_dask_give_the_results_of_one_process(dask_cluster, serial):
    assert comparable(sweep(SEEDS, SETTINGS, jobs=2, backend="dask", address=dask_cluster)) == serial


def test_a_worker_of_dask_that_is_killed_is_replaced(dask_cluster, serial):
    kill, killed = killer_of(is_dask_worker)
    found = sweep(SEEDS, SETTINGS, jobs=2, backend="dask", address=dask_cluster, on_result=kill)
    assert killed
    assert comparable(found) == serial


@pytest.mark.parametrize("backend", ["ray", "dask"])
def test_the_command_starts_a_cluster_of_its_own(backend, tmp_path):
    pytest.importorskip({"ray": "ray", "dask": "distributed"}[backend])
    rows = []
    for options in (("--jobs", 1), ("--backend", backend, "--jobs", 2)):
        directory = tmp_path / str(len(rows))
        result = invoke("sweep", "--seeds", "0:4", *SHORT, *options, "--out", directory)
        assert result.exit_code == 0, result.output
        rows.append(rows_of(directory))
    assert rows[0] == rows[1]
