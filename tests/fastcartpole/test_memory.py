"""Requests that cannot fit into the memory of the machine or the container are refused."""

import pytest

from fastcartpole import CartPoleVectorEnv, memory

MEBIBYTE = 2**20


@pytest.fixture
def container(tmp_path, monkeypatch):
    """Return a function that simulates control groups with limits, on a machine with 100 MiB."""
    monkeypatch.setattr(memory, "physical_memory", lambda: 100 * MEBIBYTE)
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")

    def put(own, **limits):
        (tmp_path / "own").write_text(own)
        for name, limit in limits.items():
            path = tmp_path / "groups" / name.replace("__", "/")
            path = path.with_name(path.name.replace("memory_max", "memory.max"))
            path = path.with_name(path.name.replace("memory_limit", "memory.limit_in_bytes"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{limit}\n")

    return put


@pytest.mark.parametrize(
    ("own", "limits", "expected"),
    [
        ("0::/\n", {"memory_max": "max"}, 100),
        ("0::/\n", {"memory_max": 30 * MEBIBYTE}, 30),
        ("0::/a/b\n", {"a__b__memory_max": "max", "a__memory_max": 20 * MEBIBYTE, "memory_max": "max"}, 20),
        # Inside a container, the path is often that of the host.
        ("0::/docker/1234\n", {"memory_max": 40 * MEBIBYTE}, 40),
        ("5:cpu:/\n4:memory:/x\n0::/\n", {"memory__x__memory_limit": 10 * MEBIBYTE}, 10),
        ("4:memory:/x\n", {"memory__memory_limit": 15 * MEBIBYTE, "memory__x__memory_limit": 2**63 - 4096}, 15),
        ("4:cpu,memory:/\n", {"memory__memory_limit": 200 * MEBIBYTE}, 100),
        ("nonsense\n", {}, 100),
        ("0::/\n", {"memory_max": "nonsense"}, 100),
    ],
)
def test_the_memory_of_a_container_counts_in_either_version(container, own, limits, expected):
    container(own, **limits)
    assert memory.usable_memory() == expected * MEBIBYTE


def test_without_control_groups_the_memory_is_the_machines(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "nothing")
    assert memory.usable_memory() == memory.physical_memory()
    monkeypatch.setattr(memory, "physical_memory", lambda: None)
    assert memory.usable_memory() is None
    memory.assert_fits_memory("anything", 2**80)


def test_batches_and_rollouts_beyond_the_containers_memory_are_refused(container):
    container("0::/\n", memory_max=30 * MEBIBYTE)
    with pytest.raises(MemoryError, match=r"num_envs=1000000 would take .* and this container may use 0\.0\."):
        CartPoleVectorEnv(1_000_000)
    environments = CartPoleVectorEnv(1000)
    environments.reset(seed=0)
    before = environments.state
    with pytest.raises(MemoryError, match="num_steps=10000 of 1000 environments would take at least"):
        environments.rollout("random", 10_000)
    assert (environments.state == before).all()
    assert environments.rollout("random", 100).actions.shape == (100, 1000)


@pytest.mark.parametrize("bits", [62, 1100, 20_000])
def test_numbers_beyond_any_memory_are_refused_however_long_they_are(container, bits):
    container("0::/\n", memory_max=30 * MEBIBYTE)
    with pytest.raises((MemoryError, ValueError)) as refusal:
        CartPoleVectorEnv(2**bits)
    assert str(refusal.value).startswith(("num_envs must be at most", f"num_envs={2**62} would take"))
    environments = CartPoleVectorEnv(1)
    environments.reset(seed=0)
    with pytest.raises((MemoryError, ValueError)) as refusal:
        environments.rollout("random", 2**bits)
    assert str(refusal.value).startswith(("num_steps must be at most", f"num_steps={2**62} of 1 environments would"))
