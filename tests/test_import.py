import subprocess
import sys

# Keras' TensorFlow backend imports TensorFlow itself, so the package's modules are looked at one by one.
CODE = """
import ast, pathlib, sys
import keras_wn
root = pathlib.Path(keras_wn.__file__).parent
loaded = [n for n in sys.modules if n.startswith("keras_wn")]
for name in loaded:
    tree = ast.parse(pathlib.Path(sys.modules[name].__file__).read_text())
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for imported in names:
            assert imported.split(".")[0] not in ("tensorflow", "sklearn", "matplotlib"), (name, imported)
assert not any(n.startswith(("keras_wn.training", "keras_wn.data")) for n in loaded), loaded
print("checked", len(loaded))
"""


def test_importing_the_package_imports_keras_alone():
    output = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert int(output.split()[1]) > 20
