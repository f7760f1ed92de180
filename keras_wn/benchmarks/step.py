"""Measures the training step of each method: forward pass, backward pass and update."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_wn import methods
from keras_wn.benchmarks.workload import Variant, Workload
from keras_wn.training.optimizer import for_method
from keras_wn.training.text_table import TIMES, Column, Table
from keras_wn.training.timing import interleaved

_CLASSES = 1000
_REPORTED = (
    "As reported second-hand: batch normalization takes 24 % of ResNet's compute on a Pascal GPU "
    "(Gitman & Ginsburg 2017's notes)."
)


def measure(workload: Workload) -> list[Table]:
    """Times a step of every variant, in turns, on one batch in memory.

    Args:
        workload: `Workload`.

    Returns:
        List of one `Table`.
    """
    actions = {str(variant): training_step(workload, variant) for variant in workload.variants}
    rows = interleaved(actions, workload.rounds, warm_up=2).rows()
    share = Column(f"share not in {rows[0]['name']}", "ratio", lambda ratio: f"{1 - 1 / ratio:.1%}")
    title = f"training step: {workload}; {workload.rounds} rounds in turns"
    return [Table(title, rows, (*TIMES, share), (_REPORTED,))]


def training_step(workload: Workload, variant: Variant) -> Callable[[], None]:
    """Function that runs a step of a variant on a batch in memory, and waits for it."""
    model = model_to_train(workload, variant)
    images, labels = (keras.ops.convert_to_tensor(array) for array in random_batch(workload))

    def run():
        # `train_on_batch` returns the loss as a float, and so waits for it.
        model.train_on_batch(images, labels)

    return run


def model_to_train(workload: Workload, variant: Variant) -> keras.Model:
    """The network of a variant, compiled for training as the runners train it.

    The optimizer is SGD with momentum, and with what the method's card asks for: weight decay,
    adaptive gradient clipping and centered gradients.

    Args:
        workload: `Workload`.
        variant: `Variant`.

    Returns:
        Compiled Keras model, whose optimizer is built.
    """
    card = methods.get(variant.method)
    keras.config.set_dtype_policy(workload.precision)
    try:
        model = workload.network(variant, _CLASSES)
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(
        optimizer=for_method(
            card, model, card.weight_decay, card.decay_on, learning_rate=1e-3, momentum=0.9
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=_compiles(workload.xla),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def random_batch(workload: Workload, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Normally distributed images, and random labels one-hot."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal(
        (workload.batch_size, workload.image_size, workload.image_size, 3), dtype="float32"
    )
    return images, np.eye(_CLASSES, dtype="float32")[rng.integers(0, _CLASSES, workload.batch_size)]


def lower(
    model: keras.Model,
    batch: tuple[Any, Any],
    state_sharding: Any = None,
    batch_sharding: Any = None,
) -> Any:
    """Lowers the training step of a model on JAX, so that XLA can compile it without a run.

    Args:
        model: Compiled Keras model on the JAX backend, whose optimizer is built.
        batch: Tuple of arrays, or of objects that have `shape` and `dtype`.
        state_sharding: `jax.sharding.Sharding` of the variables. None stands for the device of
            this process.
        batch_sharding: The same of the batch.

    Returns:
        `jax.stages.Lowered`.
    """
    import jax  # JAX need not be installed with Keras' other backends.

    state = tuple(
        [
            jax.ShapeDtypeStruct(variable.shape, variable.dtype, sharding=state_sharding)
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
        jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=batch_sharding) for array in batch
    )
    # The memory of the old state is donated to the new state, as in Keras' own trainer.
    return jax.jit(model.train_step, donate_argnums=0).lower(state, data)


def _compiles(xla):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from keras_wn.training import strategies

        return strategies.compiles(xla)
    return backend == "jax"
