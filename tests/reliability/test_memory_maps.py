"""A process whose table of memory maps is full ends with a sentence, not with a segmentation fault."""

import subprocess
import sys
from pathlib import Path

import pytest
from filling import needs_memory_maps
from runs import SMALL

from agent.process import memory_maps
from agent.process.memory_maps import MemoryMaps, assert_room_to_compile

# TensorFlow is imported before, because it needs memory maps, too.
TRAINING = """
import sys
import agent.ppo
from agent.cli import run
from filling import use_up_memory_maps
use_up_memory_maps(left=250)
run()
"""


@needs_memory_maps
@pytest.mark.slow
def test_a_training_that_has_no_memory_maps_left_ends_with_a_sentence_before_anything_is_compiled(tmp_path):
    command = [sys.executable, "-c", TRAINING, "train", *SMALL, "--epochs", "1", "--out", tmp_path / "run"]
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended
    (message,) = ended.stderr.splitlines()
    assert message.startswith("Error: this process has ")
    assert "continue in another process." in message
    assert list(tmp_path.iterdir()) == []


def test_room_to_compile_is_3000_maps(monkeypatch):
    for number, is_enough in ((0, True), (7_000, True), (7_001, False), (20_000, False)):
        monkeypatch.setattr(memory_maps, "memory_maps", lambda number=number: MemoryMaps(number, 10_000))
        if is_enough:
            assert_room_to_compile()
        else:
            with pytest.raises(MemoryError, match=rf"this process has {number:,} of at most 10,000 memory maps"):
                assert_room_to_compile()


def test_a_system_without_a_table_of_memory_maps_always_has_room(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_maps, "_LIMIT", tmp_path / "max_map_count")
    assert memory_maps.memory_maps() is None
    assert_room_to_compile()
