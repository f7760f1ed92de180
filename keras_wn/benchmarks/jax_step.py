"""A training step on JAX, compiled but not run."""


def lowered(model, batch, of_state=None, of_batch=None):
    """The training step of a compiled model as XLA takes it.

    Args:
        model: Compiled Keras model on the JAX backend, whose optimizer is built.
        batch: Tuple of arrays, or of whatever has `shape` and `dtype`.
        of_state, of_batch: `jax.sharding.Sharding` of the variables and of the batch; None for this process' own device.

    Returns:
        `jax.stages.Lowered`.
    """
    import jax  # Where Keras runs on another backend, it need not be installed.

    state = tuple(
        [
            jax.ShapeDtypeStruct(variable.shape, variable.dtype, sharding=of_state)
            for variable in variables
        ]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    )
    data = tuple(
        jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=of_batch) for array in batch
    )
    # The old state's memory is free for the new one, as in Keras' own trainer.
    return jax.jit(model.train_step, donate_argnums=0).lower(state, data)
