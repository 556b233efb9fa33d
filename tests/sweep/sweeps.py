"""Small sweeps for the tests."""

import csv

SETTINGS = {"envs": [8], "steps_per_epoch": [256], "hidden_sizes": [(8,)], "epochs": [3], "target_return": [None]}
SMALL = (
    *("--set", "envs=8"),
    *("--set", "steps_per_epoch=256"),
    *("--set", "hidden_sizes=8"),
    *("--set", "target_return=none"),
)
SHORT = (*SMALL, "--set", "epochs=3")


def rows_of(directory, name="results.csv"):
    """Return the sorted rows of a file of a sweep without the columns that depend on time."""
    with (directory / name).open(newline="") as file:
        rows = [{key: value for key, value in row.items() if key != "train_s"} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: list(row.values()))


def comparable(result):
    """Return the outcome of each run of a result, without times."""
    return [
        (run.key, outcome.final_return, outcome.env_steps, outcome.solved, [point[:2] for point in outcome.curve])
        for run, outcome in result.results
    ]
