"""Print the lowest versions that pyproject.toml allows, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
requirements = [*project["dependencies"], *extras["test"]]
for extra in re.findall(r"[\w-]+", " ".join(re.findall(r"fastppo\[(.*)\]", " ".join(requirements)))):
    requirements += extras[extra]
for requirement in requirements:
    if match := re.match(r"([\w-]+)>=([\w.]+)", requirement):
        print(f"{match[1]}=={match[2]}")
