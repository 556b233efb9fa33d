"""Shell completion, as provided by Click."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from systems import needs_bash

FASTPPO = str(Path(sys.executable).with_name("fastppo"))


def completed(shell, words, index, **environment):
    variables = {"_FASTPPO_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": index, **environment}
    process = subprocess.run([FASTPPO], env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert process.stderr == ""
    return process.stdout


@needs_bash
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_and_commands_options_and_choices(shell):
    script = subprocess.run(
        [FASTPPO],
        env={**os.environ, "_FASTPPO_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"_FASTPPO_COMPLETE={shell}_complete" in script
    # fish passes the unfinished word; the other shells pass its index.
    for words, unfinished, index, expected in (
        ("fastppo tr", "tr", "1", "train"),
        ("fastppo train --chec", "--chec", "2", "--checkpoint-every"),
        ("fastppo train --preset k", "k", "3", "keras"),
        ("fastppo export --format on", "on", "3", "onnx"),
    ):
        assert expected in completed(shell, words, unfinished if shell == "fish" else index), words
