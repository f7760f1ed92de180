"""Gradients of a function of tensors, on the backends that train."""

import keras


def outputs_and_gradients(function, tensors):
    """Outputs of `function`, and the gradients of its loss.

    Args:
        function: Function of a list of tensors that returns a scalar loss and any outputs.
        tensors: List of tensors.

    Returns:
        The outputs, and a list of gradients, one for each of `tensors`.

    Raises:
        NotImplementedError: On a backend that no run trains on.
    """
    if keras.backend.backend() == "jax":
        import jax

        gradients, outputs = jax.jit(jax.grad(function, has_aux=True))(tensors)
        return outputs, gradients
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss, outputs = function(tensors)
        return outputs, tape.gradient(loss, tensors)
    raise NotImplementedError(
        f"Gradients on the {keras.backend.backend()} backend: not there. Allowed: tensorflow, jax."
    )
