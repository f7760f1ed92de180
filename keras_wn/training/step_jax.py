"""Builds the training step on JAX: on one device, on several, in one process or in several.

The step is a pure function of the run's state. `jax.jit` compiles it, and frees the old state's
memory for the new one. With several devices, `keras.distribution` lays the batch out over them,
and the compiler inserts the sums of gradients and statistics.
"""

from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from keras_wn.optimizers import innermost
from keras_wn.training.config import TrainConfig
from keras_wn.training.devices import Devices
from keras_wn.training.scores import top_sums, weights_of_rows


class JaxStep:
    """Trains a model for one or several steps, and evaluates it, in compiled functions.

    Between `load` and `store` the state is held here, and the variables of the model and of the
    optimizer hold arrays that may be freed. `store` must be called before they are read.

    Args:
        model: Functional Keras model.
        optimizer: Built Keras optimizer, for example `SGDL2`.
        loss: `keras.losses.Loss`, the mean over a batch.
        config: Resolved `TrainConfig`.
        devices: `Devices`.

    Attributes:
        model, optimizer, loss: As given.
        state: Lists of the values of trained, other and optimizer variables. None before `load`.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        config: TrainConfig,
        devices: Devices,
    ):
        self.model, self.optimizer = model, optimizer
        self.loss = loss
        self._accumulation = config.accumulation
        self._weighs_rows = config.rows_have_weights
        counter = optimizer.add_variable((), dtype="int32", name="accumulated_batches")
        if self._accumulation > 1:
            for v in model.trainable_variables:
                name = f"{v.path.replace('/', '_')}_accumulated"
                optimizer.add_variable(v.shape, dtype=v.dtype, name=name)
        inner = innermost(optimizer)
        self._scales_loss = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        place = {id(variable): i for i, variable in enumerate(optimizer.variables)}
        self._rate_at, self._decay_at = place[id(inner._learning_rate)], place[id(inner.l2)]
        self._counter_at = place[id(counter)]
        self._devices = devices
        self._over_steps, self._over_rows, replicated = None, None, None
        if devices.count > 1:
            mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))
            axes = jax.sharding.PartitionSpec
            replicated = jax.sharding.NamedSharding(mesh, axes())
            self._over_steps = jax.sharding.NamedSharding(mesh, axes(None, "batch"))
            self._over_rows = jax.sharding.NamedSharding(mesh, axes("batch"))
        # `None` leaves the choice to the compiler.
        self._train = jax.jit(self.steps, donate_argnums=0, out_shardings=(replicated, replicated))
        self._evaluate = jax.jit(self._evaluation, out_shardings=replicated)
        self._logits = jax.jit(self._outputs, out_shardings=replicated)
        self.state: Any = None

    def train(self, images: Any, labels: Any, rates: Any, decay: float) -> jax.Array:
        """Takes as many steps as there are batches, without a return to Python in between.

        Args:
            images: Array of shape `(steps, rows, height, width, channels)`, with the rows of this
                process.
            labels: One-hot array of shape `(steps, rows, classes)`.
            rates: Float32 array of shape `(steps,)`, the learning rate of each step.
            decay: Float, the weight decay.

        Returns:
            Float32 array of shape `(4,)`: sums of loss, top-1, top-5 and images over the steps.
        """
        images, labels = self._divided((images, labels), self._over_steps)
        rates, decay = np.asarray(rates, "float32"), np.float32(decay)
        self.state, sums = self._train(self.state, images, labels, rates, decay)
        return sums

    def evaluate(self, images: Any, labels: Any, weights: Any = None) -> jax.Array:
        """Scores one batch in inference mode, by the values of the model's variables.

        Args:
            images: Array of shape `(rows, height, width, channels)`, with the rows of this process.
            labels: One-hot array of shape `(rows, classes)`.
            weights: Array of shape `(rows,)`: 1, and 0 for rows that fill a batch up. None: 1 for
                each row.

        Returns:
            Float32 array of shape `(4,)`: weighted sums of loss, top-1, top-5, and of weights.
        """
        if weights is None:
            weights = np.ones(len(images), "float32")
        arrays = self._divided((images, labels, weights), self._over_rows)
        model = self.model
        variables = (model.trainable_variables, model.non_trainable_variables)
        return self._evaluate(*([v.value for v in vs] for vs in variables), *arrays)

    def logits(self, images: Any) -> jax.Array:
        """The outputs of the model for one batch, in inference mode.

        Args:
            images: Array of shape `(rows, height, width, channels)`.

        Returns:
            Array of shape `(rows, classes)`.
        """
        [images] = self._divided([images], self._over_rows)
        model = self.model
        variables = (model.trainable_variables, model.non_trainable_variables)
        return self._logits(*([v.value for v in vs] for vs in variables), images)

    def store(self) -> None:
        """Puts the state into the variables of the model and of the optimizer."""
        if self.state is not None:
            for variables, values in zip(self._variables(), self.state, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)

    def load(self) -> None:
        """Takes the state from the variables, after they were assigned."""
        # Copied, because the first step frees the memory of what it is given.
        self.state = tuple(
            [jnp.array(variable.value, copy=True) for variable in variables]
            for variables in self._variables()
        )

    def assign(self, values: list) -> None:
        """Assigns the variables of the model and of the optimizer.

        Args:
            values: List of arrays, for `[*model.variables, *optimizer.variables]`.
        """
        variables = [*self.model.variables, *self.optimizer.variables]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _variables(self):
        model = self.model
        return model.trainable_variables, model.non_trainable_variables, self.optimizer.variables

    def _divided(self, arrays, sharding):
        arrays = [np.asarray(array) for array in arrays]
        if sharding is None:
            return arrays
        return [jax.make_array_from_process_local_data(sharding, array) for array in arrays]

    def steps(self, state: Any, images: Any, labels: Any, rates: Any, decay: Any) -> tuple:
        """The state after some steps, and the sums of the metrics, as a pure function."""

        def one(state, batch):
            return self._step(state, *batch, decay)

        if len(rates) == 1:
            state, sums = one(state, (images[0], labels[0], rates[0]))
            return state, sums
        state, sums = jax.lax.scan(one, state, (images, labels, rates))
        return state, jnp.sum(sums, axis=0)

    def _step(self, state, images, labels, rate, decay):
        trainable, fixed, optimizer = state
        optimizer = list(optimizer)
        optimizer[self._rate_at], optimizer[self._decay_at] = rate, decay
        scale = self._loss_scale(optimizer)

        def scaled_loss(trainable):
            logits, new_fixed, added = self.model.stateless_call(
                trainable, fixed, images, training=True, return_losses=True
            )
            weights = weights_of_rows(labels) if self._weighs_rows else None
            loss = self.loss(labels, logits, weights)
            loss += sum(jnp.asarray(term, loss.dtype) for term in added)
            return loss * scale, (loss, logits, new_fixed)

        gradients, (loss, logits, new_fixed) = jax.grad(scaled_loss, has_aux=True)(trainable)
        if self._scales_loss:
            # The optimizer skips a step that overflows. Without the same here, a moving average
            # would never be finite again.
            new_fixed = [
                jnp.where(jnp.isfinite(new), new, old) if jnp.issubdtype(new, jnp.floating) else new
                for new, old in zip(new_fixed, fixed, strict=True)
            ]
        trainable, optimizer = self._updated(trainable, optimizer, gradients)
        weights = weights_of_rows(labels)
        metrics = top_sums(labels, logits, weights)
        sums = jnp.stack([jnp.float32(loss) * jnp.sum(weights), *metrics])
        return (trainable, new_fixed, optimizer), sums

    def _updated(self, trainable, optimizer, gradients):
        """Trainable and optimizer variables after one more batch."""
        if self._accumulation == 1:
            return self.optimizer.stateless_apply(optimizer, gradients, trainable)
        first, after = self._counter_at, self._counter_at + 1 + len(trainable)
        count = optimizer[first] + 1
        sums = [s + g for s, g in zip(optimizer[first + 1 : after], gradients, strict=True)]

        def with_sums(optimizer, count, sums):
            return [*optimizer[:first], count, *sums, *optimizer[after:]]

        def act(_):
            means = [s / self._accumulation for s in sums]
            new_trainable, new_optimizer = self.optimizer.stateless_apply(
                optimizer, means, trainable
            )
            zeros = [jnp.zeros_like(s) for s in sums]
            return new_trainable, with_sums(new_optimizer, jnp.zeros_like(count), zeros)

        def wait(_):
            return trainable, with_sums(optimizer, count, sums)

        return jax.lax.cond(count == self._accumulation, act, wait, None)

    def _loss_scale(self, optimizer):
        if not self._scales_loss:
            return 1.0
        mapping = list(zip(self.optimizer.variables, optimizer, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return self.optimizer.scale_loss(1.0)

    def _outputs(self, trainable, fixed, images):
        logits, _ = self.model.stateless_call(trainable, fixed, images, training=False)
        return logits

    def _evaluation(self, trainable, fixed, images, labels, weights):
        logits = self._outputs(trainable, fixed, images)
        loss = jnp.float32(self.loss(labels, logits, weights)) * jnp.sum(weights)
        return jnp.stack([loss, *top_sums(labels, logits, weights)])
