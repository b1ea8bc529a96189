"""The scripts of experiments/ as modules; they are no package."""

import importlib.util
import pathlib
import sys
import types
from unittest import mock

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"


def load_script(name: str) -> types.ModuleType:
    """experiments/NAME, which finds the files beside it as when it is run."""
    file = EXPERIMENTS / name
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(sys, "path", [str(file.parent), *sys.path]):
        spec.loader.exec_module(module)
    return module
