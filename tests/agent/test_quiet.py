"""Log chatter of libraries is hidden from the terminal, and nothing else is."""

import os
import subprocess
import sys
import warnings

import pytest
from systems import needs_posix_shell

from agent.process.quiet import standard_error_held_back

CHATTER = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1795649806.407006    2772 cudart_stub.cc:31] Could not find cuda drivers on your machine.\n"
    "2026-11-25 23:40:10.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.\n"
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow.\n"
    "E0000 00:00:1795649806.407006    2772 cuda_dnn.cc:8579] Unable to register cuDNN factory\n"
    "ALSA lib confmisc.c:855:(parse_card) cannot find card '0'\n"
    "error: XDG_RUNTIME_DIR is invalid or not set in the environment.\n"
)
REMARK = "My own program: mind the gap\n"


def written_within(capfd, text, error=None, **options):
    with pytest.raises(error) if error else warnings.catch_warnings(), standard_error_held_back(**options):
        os.write(2, text.encode())
        assert capfd.readouterr().err == ""
        if error:
            raise error
    return capfd.readouterr().err


def test_chatter_is_dropped_and_other_lines_are_shown(capfd):
    assert written_within(capfd, CHATTER + REMARK + CHATTER) == REMARK


def test_an_exception_shows_everything_and_an_interrupt_what_is_no_chatter(capfd):
    assert written_within(capfd, CHATTER + REMARK, ValueError) == CHATTER + REMARK
    assert written_within(capfd, CHATTER + REMARK, KeyboardInterrupt) == REMARK


def test_output_that_is_held_back_for_good_is_not_shown(capfd):
    assert written_within(capfd, CHATTER + REMARK, for_good=True) == ""


def test_threads_that_hold_back_at_once_put_standard_error_back_where_it_was():
    code = (
        "import os, threading\n"
        "from agent.process.quiet import standard_error_held_back\n"
        "both = threading.Barrier(2)\n"
        "def hold(first):\n"
        "    if not first: both.wait()\n"
        "    with standard_error_held_back():\n"
        "        if first: both.wait()\n"
        "        both.wait()\n"
        "        os.write(2, b'within\\n')\n"
        "        if not first: left.wait()\n"
        "    if first: left.set()\n"
        "left = threading.Event()\n"
        "threads = [threading.Thread(target=hold, args=(first,)) for first in (True, False)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "os.write(2, b'afterwards\\n')\n"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert sorted(completed.stderr.split()) == ["afterwards", "within", "within"]


def test_warnings_of_python_are_shown():
    code = (
        "import sys, warnings\n"
        "from agent.process.quiet import standard_error_held_back\n"
        "with standard_error_held_back():\n"
        "    warnings.warn('mind the gap')\n"
        "    print('and the step', file=sys.stderr)\n"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "UserWarning: mind the gap" in completed.stderr
    assert completed.stderr.endswith("and the step\n")


@needs_posix_shell
@pytest.mark.parametrize("missing", ["2>&-", ""])
def test_without_standard_error_or_a_temporary_folder_nothing_is_held_back(missing):
    code = "from agent.process.quiet import standard_error_held_back as held\nwith held(): print('done')"
    environment = {**os.environ, "TMPDIR": "/proc", "TEMP": "/proc", "TMP": "/proc"}
    command = f"'{sys.executable}' -c \"{code}\" {missing}"
    completed = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=True)
    assert completed.stdout == "done\n"
