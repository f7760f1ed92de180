import subprocess
import sys

import pytest

import keras_wn

# Keras' TensorFlow backend imports TensorFlow itself, so the package's modules are looked at one by
# one.
CODE = """
import ast, pathlib, sys
import keras_wn
assert "keras_wn.interop" not in sys.modules
public = [getattr(keras_wn, name) for name in keras_wn.__all__]
loaded = [n for n in sys.modules if n.startswith("keras_wn")]
for name in loaded:
    tree = ast.parse(pathlib.Path(sys.modules[name].__file__).read_text())
    # Imports inside of functions are those of a backend's own formulas, made on that backend alone.
    for node in tree.body:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for imported in names:
            assert imported.split(".")[0] not in ("tensorflow", "sklearn", "matplotlib"), (name,
            imported)
assert not {"training", "data"} & {n.split(".")[1] for n in loaded if "." in n}, loaded
assert "keras_wn.interop" in loaded
print("checked", len(loaded))
"""


def test_importing_the_package_imports_keras_alone_and_the_rest_at_its_first_use():
    output = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
    ).stdout
    assert int(output.split()[1]) > 20


def test_names_are_listed_and_others_are_refused():
    assert set(keras_wn.__all__) <= set(dir(keras_wn))
    with pytest.raises(AttributeError, match="module 'keras_wn' has no attribute 'weightnorm'"):
        _ = keras_wn.weightnorm
