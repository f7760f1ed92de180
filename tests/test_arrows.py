"""Imports run one way: the library knows nothing of the experiment, nor data of the training."""

import ast
import pathlib

import keras_wn

# From the bottom. A part may import what is below it, and parts of one floor no other one there.
LIBRARY = (
    ("event_file", "reparameterizations"),
    ("constraints", "regularizers"),
    ("initializers", "optimizers"),
    ("layers",),
    ("data_dependent_init", "interop", "variable_groups"),
    ("methods", "model_summary"),
    ("callbacks", "models"),
)
EXPERIMENT = (("errors",), ("data",), ("training",), ("benchmarks", "study"))
FLOOR = {part: i for i, parts in enumerate((*LIBRARY, *EXPERIMENT)) for part in parts}
ROOT = pathlib.Path(keras_wn.__file__).parent


def imported(path):
    """The parts that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "keras_wn":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_wn."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("keras_wn."))


def test_every_import_leads_down():
    wrong, parts = [], set()
    for path in sorted(ROOT.rglob("*.py")):
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        parts.add(part)
        wrong += [
            f"{path.relative_to(ROOT)} imports keras_wn.{other}"
            for other in imported(path)
            if part != "__init__" and other in FLOOR and other != part
            if FLOOR[other] >= FLOOR[part]
        ]
    assert wrong == []
    assert parts - {"__init__"} == FLOOR.keys()
