"""Toy workloads for the tests of the harness."""

import os
import time

from bench.process import WrongResultError


class Toy:
    """A workload that takes a given time for a given amount of work."""

    def __init__(self, work=1.0, seconds=0.0, probe=None):
        self.work, self.seconds, self.probe = work, seconds, probe

    def run(self):
        time.sleep(self.seconds)


class Broken(Toy):
    """A workload that cannot be created."""

    def __init__(self):
        raise ValueError("no such thing")


class Wrong(Toy):
    """A workload with wrong results."""

    def check(self):
        raise WrongResultError("1 is not 2")


class Failing(Toy):
    """A workload that fails after a few runs."""

    runs = 0

    def run(self):
        self.runs += 1
        if self.runs > 3:
            raise RuntimeError("worn out")


class Dying(Toy):
    """A workload that ends its process after a few runs."""

    runs = 0

    def run(self):
        self.runs += 1
        if self.runs > 3:
            os._exit(3)


class Greedy(Toy):
    """A workload that needs a lot of memory."""

    def run(self):
        return len(bytearray(200 * 2**20))
