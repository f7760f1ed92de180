"""What the step of `CompiledStepModel` would not do right is refused."""

import keras


def check(optimizer, loss, jit_compile, others, replicas):
    """Checks the arguments of `CompiledStepModel.compile`.

    Args:
        optimizer: Keras optimizer.
        loss: What is given as the loss.
        jit_compile: What is given for it.
        others: Dict of the other arguments that are given by name.
        replicas: Positive integer, the devices that a batch is divided among.

    Raises:
        ValueError: For the first argument that is not allowed.
    """
    if not isinstance(loss, keras.losses.Loss):
        raise ValueError(f"compile: loss={loss!r}. Allowed: a keras.losses.Loss, as keras.losses.MeanSquaredError().")
    if loss.reduction not in ("sum_over_batch_size", "mean", "mean_with_sample_weight"):
        raise ValueError(
            f"compile: a loss of reduction {loss.reduction!r}. Allowed: sum_over_batch_size, mean, mean_with_sample_weight."
        )
    if jit_compile not in (False, "auto"):
        raise ValueError(f"compile: jit_compile={jit_compile}. Allowed: False, with CompiledStepModel(..., xla=True).")
    for name in ("run_eagerly", "loss_weights"):
        if others.get(name):
            raise ValueError(f"compile: {name}={others[name]} is not allowed. Allowed: to leave it out.")
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.gradient_accumulation_steps:
        raise ValueError(
            f"compile: an optimizer with gradient_accumulation_steps={inner.gradient_accumulation_steps}. "
            "Allowed: CompiledStepModel(..., accumulation=n)."
        )
    if replicas > 1 and getattr(inner, "sums_gradients", True):
        raise ValueError(
            f"compile: optimizer {inner.name} would sum the replicas' gradients a second time. "
            "Allowed: an optimizer with sums_gradients=False, as keras_wn.training.optimizer.SGDL2."
        )
