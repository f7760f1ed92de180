"""This package's layers and wrapper against plain Keras, on the backend that `KERAS_BACKEND` names."""

import keras

import keras_wn

BACKEND = keras.backend.backend()
ENGINE = f"keras {keras.__version__} on {BACKEND}"


def layers(shape):
    """Name -> layer, the plain one first."""
    if shape.kernel_size is None:
        arguments = {"units": shape.units}
        plain, subclass = keras.layers.Dense, keras_wn.layers.WNDense
    else:
        arguments = {"filters": shape.units, "kernel_size": shape.kernel_size, "padding": "same"}
        plain, subclass = keras.layers.Conv2D, keras_wn.layers.WNConv2D
    return {
        "plain": plain(**arguments),
        "subclass": subclass(**arguments),
        "wrapper": keras_wn.layers.WeightNormalization(plain(**arguments)),
    }


def steps(shape, x, y, jit_compile):
    """Name -> function that runs one train step and waits for it."""
    return {name: _step(layer, x, y, jit_compile) for name, layer in layers(shape).items()}


def inferences(shape, x):
    """Name -> function that runs one forward pass: plain, and a weight-normalized layer after `fold`."""
    found = {}
    for name, layer in layers(shape).items():
        model = keras.Sequential([keras.Input(shape.inputs), layer])
        if name != "plain":
            model, name = keras_wn.fold(model), f"{name}, folded"
        found[name] = _forward(model, x)
    return found


def _forward(model, x):
    x = keras.ops.convert_to_tensor(x)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        forward = tf.function(model)

        def run():
            forward(x, training=False).numpy()

        return run
    if BACKEND == "jax":
        import jax

        state = (
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
        )
        forward = jax.jit(lambda *state: model.stateless_call(*state, x, training=False)[0])

        def run():
            jax.block_until_ready(forward(*state))

        return run
    import torch

    def run():
        with torch.inference_mode():
            model(x, training=False)

    return run


def _step(layer, x, y, jit_compile):
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    optimizer = keras.optimizers.SGD(1e-3)
    if BACKEND == "tensorflow":
        from keras_wn.benchmarks.layers import tensorflow_step

        return tensorflow_step.make(model, optimizer, x, y, jit_compile)
    if BACKEND == "jax":
        return _jax_step(model, optimizer, x, y)
    return _torch_step(model, optimizer, x, y)


def _jax_step(model, optimizer, x, y):
    import jax

    optimizer.build(model.trainable_variables)
    state = [
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        [v.value for v in optimizer.variables],
    ]

    def loss_of(trainable, fixed):
        outputs, _ = model.stateless_call(trainable, fixed, x, training=True)
        return keras.ops.mean(keras.ops.square(outputs - y))

    @jax.jit
    def step(trainable, fixed, slots):
        loss, gradients = jax.value_and_grad(loss_of)(trainable, fixed)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return loss, trainable, slots

    def run():
        _, state[0], state[2] = jax.block_until_ready(step(*state))

    return run


def _torch_step(model, optimizer, x, y):
    import torch

    x, y = torch.tensor(x), torch.tensor(y)
    optimizer.build(model.trainable_variables)

    def run():
        model.zero_grad()
        torch.mean(torch.square(model(x, training=True) - y)).backward()
        with torch.no_grad():
            optimizer.apply(
                [v.value.grad for v in model.trainable_variables], model.trainable_variables
            )

    return run
