"""Builds, trains, saves, loads, folds and normalizes with an installed package and nothing else.

`nox -s package` runs it in an environment that has the wheel or the sdist, Keras and one backend.
"""

import importlib.util
import pathlib
import sys
import tempfile

import keras
import numpy as np

import keras_wn


def main():
    source = pathlib.Path(keras_wn.__file__)
    if "site-packages" not in source.parts:
        sys.exit(f"The package comes from {source}. Allowed: an installed one.")
    for library in ("sklearn", "pandas", "matplotlib", "tensorflow_datasets"):
        if importlib.util.find_spec(library) and keras.backend.backend() != "tensorflow":
            sys.exit(f"{library} is installed. Allowed: Keras, NumPy and a backend.")
    if not (source.parent / "py.typed").exists():
        sys.exit("py.typed is missing from the package.")

    images = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras_wn.layers.WNConv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras_wn.layers.WNDense(2),
        ]
    )
    keras_wn.data_dependent_init(model, images)
    model.compile("sgd", "mse")
    model.fit(images, np.ones((8, 2)), verbose=0)
    outputs = model.predict(images, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
    for other in (loaded, keras_wn.fold(model), keras_wn.weight_norm(keras_wn.fold(model))):
        np.testing.assert_allclose(other.predict(images, verbose=0), outputs, rtol=1e-4, atol=1e-5)
    keras_wn.summary(loaded)
    print(
        f"keras_wn {keras_wn.__version__} works with Keras {keras.__version__} on "
        f"{keras.backend.backend()} and Python {sys.version.split()[0]}."
    )


if __name__ == "__main__":
    main()
