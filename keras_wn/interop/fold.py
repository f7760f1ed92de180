"""Weight normalization folded into plain Keras layers."""

from keras_wn.interop.rebuild import copy_of, rebuild
from keras_wn.interop.weight_norm_model import SUBCLASSES
from keras_wn.layers import WeightNormalization, gains
from keras_wn.layers.kernels import kernels_of
from keras_wn.layers.reparameterized import Reparameterized


def fold(model):
    """A plain copy of a model: each weight-normalized layer a Keras layer whose kernel is w, with the same outputs.

    For inference and export: nothing is left to compute beside the layer itself, and no custom object to load. Regularizers,
    constraints and initializers of this package are dropped with the normalization. `TReLU`, `NormalizedReLU` and the joins have
    no plain counterpart and stay as they are, as layers and as activations of layers.

    Args:
        model: Built functional or Sequential Keras model, nested ones allowed; left as it is.

    Returns:
        Keras model of the same kind and name, not compiled.

    Raises:
        ValueError: If the model is not built, or is a subclassed model.

    Example:

    >>> import numpy as np, keras, keras_wn
    >>> model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3)])
    >>> folded = keras_wn.fold(model)
    >>> type(folded.layers[0]) is keras.layers.Dense
    True
    >>> x = np.ones((1, 4))
    >>> bool(np.allclose(folded(x), model(x), rtol=1e-6))
    True

    Reference: ours.
    """
    return rebuild(model, _plain, _carry)


def _plain(layer):
    if isinstance(layer, WeightNormalization):
        return copy_of(layer.layer)
    plain_class = _plain_class(layer)
    if plain_class is None:
        return copy_of(layer)
    config = {name: value for name, value in layer.get_config().items() if not _is_for_training(name, value)}
    del config["use_gain"]
    config.pop("gain_initializer", None)
    return plain_class.from_config(config)


def _plain_class(layer):
    if not isinstance(layer, Reparameterized):
        return None
    return next(plain for plain, subclass in SUBCLASSES.items() if isinstance(layer, subclass))


def _is_for_training(name, value):
    """Whether an entry of a layer's configuration is this package's and does not bear on the layer's outputs."""
    if not name.endswith(("_initializer", "_regularizer", "_constraint")):
        return False
    return isinstance(value, dict) and str(value.get("registered_name", "")).startswith("keras_wn>")


def _carry(layer, new):
    if isinstance(layer, WeightNormalization):
        new.set_weights(layer.layer.get_weights())
        effective = layer.effective_kernels
        kernels = WeightNormalization(new, axis=layer.axis, weights=layer.weight_names).kernels
        for name, kernel in kernels.items():
            kernel.variable.assign(effective[name])
    elif isinstance(layer, Reparameterized):
        values = {variable.name: variable for variable in layer.weights}
        values |= {kernel.name: gains.effective(kernel, layer._gains.get(kernel.name)) for kernel in kernels_of(layer)}
        for variable in new.weights:
            variable.assign(values[variable.name])
    else:
        new.set_weights(layer.get_weights())
