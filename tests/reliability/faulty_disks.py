"""Real full and read-only file systems, visible to this process only: run with ``unshare --map-root-user --mount``.

``python faulty_disks.py RUN DIRECTORY`` resumes copies of a run of four epochs on such file systems, mounted at the
directory, and prints the outcome of each as a line of JSON.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from runs import assert_ended_alike, files_of, invoke

KIBIBYTE = 1024


def mounted(directory, *options):
    subprocess.run(["mount", "-t", "tmpfs", *options, "none", directory], check=True)


def message_of(result):
    return {"exit_code": result.exit_code, "message": " ".join(result.stderr.split())}


def go_on_with_little_space(run, whole, directory, free):
    """Resume a copy of the run with ``free`` KiB of free space, and again with enough space."""
    mounted(directory, "-o", "size=1m")
    copy = directory / "run"
    shutil.copytree(run, copy)
    ballast = directory / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(directory).free - free * KIBIBYTE))
    before = files_of(copy)
    result = invoke("train", "--resume", copy, "--epochs", 6, "--checkpoint-every", 1)
    after = files_of(copy)
    outcome = {"free": free, **message_of(result), "lost": [str(name) for name in before.keys() - after.keys()]}
    ballast.unlink()
    if result.exit_code:
        again = invoke("train", "--resume", copy, "--epochs", 6)
        assert again.exit_code == 0, again.output
    assert_ended_alike(whole, copy)
    subprocess.run(["umount", directory], check=True)
    return outcome


def go_on_where_nothing_can_be_written(run, directory):
    mounted(directory)
    shutil.copytree(run, directory / "run")
    subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
    before = files_of(directory)
    commands = {
        "resume": ("train", "--resume", directory / "run", "--epochs", 6),
        "out": ("train", "--epochs", 1, "--out", directory / "new"),
        "plot": ("plot", directory / "run", "--out", directory / "curve.png"),
        "export": ("export", directory / "run", "--format", "keras"),
        "eval": ("eval", directory / "run", "--episodes", 2),
    }
    for name, arguments in commands.items():
        yield {"read-only": name, **message_of(invoke(*arguments))}
    assert files_of(directory) == before


def main(run, directory):
    whole = Path(tempfile.mkdtemp()) / "whole"
    shutil.copytree(run, whole)
    assert invoke("train", "--resume", whole, "--epochs", 6).exit_code == 0
    for free in (0, 4, 8, 16, 24, 32, 48, 64, 96, 256):
        print(json.dumps(go_on_with_little_space(run, whole, directory, free)), flush=True)
    for outcome in go_on_where_nothing_can_be_written(run, directory):
        print(json.dumps(outcome), flush=True)
    shutil.rmtree(whole.parent)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
