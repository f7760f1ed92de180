"""TensorFlow Addons' wrapper against plain Keras 2, in TensorFlow Addons' own environment."""

import tensorflow as tf
import tensorflow_addons as tfa
import tensorflow_step

ENGINE = f"tensorflow-addons {tfa.__version__} on tensorflow {tf.__version__}"


def steps(shape, x, y, jit_compile):
    """Name -> function that runs one train step and waits for it."""
    found = {}
    for name in ("plain", "wrapper"):
        if shape.kernel_size is None:
            layer = tf.keras.layers.Dense(shape.units)
        else:
            layer = tf.keras.layers.Conv2D(shape.units, shape.kernel_size, padding="same")
        if name == "wrapper":
            layer = tfa.layers.WeightNormalization(layer, data_init=False)
        model = tf.keras.Sequential([tf.keras.Input(shape.inputs), layer])
        found[name] = tensorflow_step.make(model, tf.keras.optimizers.SGD(1e-3), x, y, jit_compile)
    return found
