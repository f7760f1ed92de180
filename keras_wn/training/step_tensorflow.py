"""Builds the training step on TensorFlow: on one device, on several, in one process or in several.

Stock Keras compiles a whole step or nothing, and a step with an all-reduce or an optimizer under
`tf.distribute` does not compile. Here each replica computes its outputs, gradients and new
statistics in a function of values, which XLA can compile. The gradients are then summed over the
replicas, so that accumulation, clipping, the check for float16's infinities and the optimizer see
what a single device would see.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_wn.optimizers import innermost
from keras_wn.training.config import TrainConfig
from keras_wn.training.devices import Devices
from keras_wn.training.scores import top_sums, weights_of_rows


class TensorFlowStep:
    """Trains a model for one or several steps, and evaluates it, in compiled functions.

    The model's and the optimizer's variables hold the state of the run at any time, so that
    `store` and `load` do nothing here.

    Args:
        model: Functional Keras model, built in the scope of the devices.
        optimizer: Keras optimizer that does not sum gradients itself, for example
            `SGDL2(sums_gradients=False)`, built in the same scope.
        loss: `keras.losses.Loss`, the mean over a batch.
        config: Resolved `TrainConfig`.
        devices: `Devices`.
        xla: Boolean, whether XLA compiles the forward and backward pass.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        config: TrainConfig,
        devices: Devices,
        xla: bool,
    ):
        self.model, self.optimizer = model, optimizer
        self.loss = loss
        self._devices, self._strategy = devices, devices.strategy
        self._inner = innermost(optimizer)
        self._scales_loss = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self._weighs_rows = config.rows_have_weights
        self._forward_and_backward = tf.function(
            self._outputs_and_gradients, jit_compile=xla, reduce_retracing=True
        )
        self._one_step = tf.function(self._step_of_all_replicas)
        self._steps = tf.function(self._steps_in_a_loop)
        self._evaluation = tf.function(self._evaluation_of_all_replicas, reduce_retracing=True)
        self._logits = tf.function(
            lambda images: self.model(images, training=False), reduce_retracing=True
        )
        self._assignment = tf.function(self._assign_all)
        self._accumulator = None
        if config.accumulation > 1:
            with devices.scope():
                self._accumulator = Accumulator(
                    optimizer, model.trainable_variables, config.accumulation
                )

    def train(self, images: Any, labels: Any, rates: Any, decay: float) -> tf.Tensor:
        """Takes as many steps as there are batches, without a return to Python in between.

        Args:
            images: Tensor or array of shape `(steps, rows, height, width, channels)`, with the
                rows of this process.
            labels: One-hot tensor or array of shape `(steps, rows, classes)`.
            rates: Float32 array of shape `(steps,)`, the learning rate of each step.
            decay: Float, the weight decay.

        Returns:
            Float32 tensor of shape `(4,)`: sums of loss, top-1, top-5 and images over the steps.
        """
        batches = self._divided((images, labels), axis=1)
        return self._steps(*batches, tf.constant(rates, tf.float32), tf.constant(decay, tf.float32))

    def evaluate(self, images: Any, labels: Any, weights: Any = None) -> tf.Tensor:
        """Scores one batch in inference mode.

        Args:
            images: Tensor or array of shape `(rows, height, width, channels)`, with the rows of
                this process.
            labels: One-hot tensor or array of shape `(rows, classes)`.
            weights: Tensor or array of shape `(rows,)`: 1, and 0 for rows that fill a batch up.
                None: 1 for each row.

        Returns:
            Float32 tensor of shape `(4,)`: weighted sums of loss, top-1, top-5, and of weights.
        """
        if weights is None:
            weights = tf.ones(len(images))
        return self._evaluation(*self._divided((images, labels, weights), axis=0))

    def logits(self, images: Any) -> tf.Tensor:
        """The outputs of the model for one batch, in inference mode.

        Args:
            images: Tensor or array of shape `(rows, height, width, channels)`.

        Returns:
            Tensor of shape `(rows, classes)`.
        """
        return self._logits(tf.convert_to_tensor(images))

    def store(self) -> None:
        """Does nothing here: the step changes the variables themselves. `JaxStep` has copies."""

    def load(self) -> None:
        """Does nothing here: the step reads the variables themselves. `JaxStep` has copies."""

    def assign(self, values: list) -> None:
        """Assigns the variables of the model and of the optimizer, in one compiled call.

        Args:
            values: List of arrays, for `[*model.variables, *optimizer.variables]`.
        """
        self._assignment(values)

    def _assign_all(self, values):
        variables = [*self.model.variables, *self.optimizer.variables]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _divided(self, arrays: tuple, axis: int) -> list:
        """Arrays as tensors, their rows divided among the devices of this process."""
        tensors = [tf.convert_to_tensor(array) for array in arrays]
        local = self._devices.count // self._devices.workers
        if self._devices.count == 1:
            return tensors

        def part(tensor, context):
            number = context.replica_id_in_sync_group % local
            return tf.split(tensor, local, axis)[number]

        return [
            self._strategy.experimental_distribute_values_from_function(
                lambda context, tensor=tensor: part(tensor, context)
            )
            for tensor in tensors
        ]

    def _steps_in_a_loop(self, images, labels, rates, decay):
        steps = rates.shape[0]
        if steps == 1:
            return self._one_step(images, labels, tf.constant(0), rates, decay)

        def body(number, sums):
            return number + 1, sums + self._one_step(images, labels, number, rates, decay)

        return tf.while_loop(lambda number, _: number < steps, body, (0, tf.zeros(4)))[1]

    def _step_of_all_replicas(self, images, labels, number, rates, decay):
        sums = self._strategy.run(
            self._step_of_replica, (images, labels, number, rates[number], decay)
        )
        return self._strategy.reduce("sum", sums, axis=None)

    def _step_of_replica(self, images, labels, number, rate, decay):
        model, images, labels = self.model, images[number], labels[number]
        replicas = tf.distribute.get_replica_context()
        self._inner.learning_rate.assign(rate)
        self._inner.l2.assign(decay)
        loss, logits, fixed, gradients = self._forward_and_backward(
            _values(model.trainable_variables),
            _values(model.non_trainable_variables),
            images,
            labels,
            self.optimizer.scale_loss(tf.constant(1.0)),
        )
        gradients = replicas.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        self._assign_statistics(fixed, replicas)
        if self._accumulator is None:
            self._update(gradients)
        else:
            self._accumulator(gradients, self._update)
        weights = weights_of_rows(labels)
        # Keras' loss is this replica's share of the mean over all replicas.
        mean = tf.cast(loss, tf.float32) * replicas.num_replicas_in_sync
        loss_sum = mean * tf.reduce_sum(weights)
        return tf.stack([loss_sum, *top_sums(labels, logits, weights)])

    def _outputs_and_gradients(self, trainable, fixed, images, labels, scale):
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            logits, fixed, added = self.model.stateless_call(
                trainable, fixed, images, training=True, return_losses=True
            )
            weights = weights_of_rows(labels) if self._weighs_rows else None
            loss = self.loss(labels, logits, weights)
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            loss += sum(tf.cast(term, loss.dtype) / replicas for term in added)
            scaled = loss * tf.cast(scale, loss.dtype)
        return loss, logits, fixed, tape.gradient(scaled, trainable)

    def _assign_statistics(self, values, replicas):
        """Averages moving statistics over the replicas, which would otherwise differ."""
        for variable, value in zip(self.model.non_trainable_variables, values, strict=True):
            if variable.dtype.startswith(("float", "bfloat")):
                value = replicas.all_reduce(tf.distribute.ReduceOp.MEAN, value)
                if self._scales_loss:
                    # The optimizer skips a step that overflows. Without the same here, a moving
                    # average would never be finite again.
                    value = tf.where(tf.math.is_finite(value), value, variable.value)
            variable.assign(value)

    def _update(self, gradients):
        self.optimizer.apply(gradients, self.model.trainable_variables)

    def _evaluation_of_all_replicas(self, images, labels, weights):
        sums = self._strategy.run(self._evaluation_of_replica, (images, labels, weights))
        return self._strategy.reduce("sum", sums, axis=None)

    def _evaluation_of_replica(self, images, labels, weights):
        logits = self.model(images, training=False)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        mean = tf.cast(self.loss(labels, logits, weights), tf.float32) * replicas
        return tf.stack([mean * tf.reduce_sum(weights), *top_sums(labels, logits, weights)])


class Accumulator:
    """Sums the gradients of several batches, in variables of the optimizer.

    Each n-th call acts on `(g_1 + ... + g_n) / n`, and the other calls only add. Keras' own
    `gradient_accumulation_steps` fails under `tf.distribute` with more than one replica.

    The gradients are summed over the replicas in every batch. The sum is therefore the same on
    each replica, and one copy of it in a checkpoint is enough to go on between two updates.

    Args:
        optimizer: Keras optimizer. Its `variables` get the sums and the count, so that a
            checkpoint holds them. It must be made in the scope of the strategy.
        variables: List of the model's trainable variables.
        batches: Integer of 2 or more, n.
    """

    def __init__(
        self, optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable], batches: int
    ):
        def add(shape, dtype, name):
            return optimizer.add_variable(
                shape, dtype=dtype, aggregation="only_first_replica", name=name
            )

        self._batches = batches
        self._count = add((), "int32", "accumulated_batches")
        self._sums = [
            add(v.shape, v.dtype, f"{v.path.replace('/', '_')}_accumulated") for v in variables
        ]

    def __call__(self, gradients: list[tf.Tensor], act: Callable) -> None:
        """Adds the gradients of a batch and, on the n-th call, acts on the means.

        Args:
            gradients: List of tensors, equal on all replicas. None of them may be None.
            act: Function of a list of tensors, called in the context of a replica.
        """
        acts = tf.equal(self._count.value + 1, self._batches)
        sums = [total.value + g for total, g in zip(self._sums, gradients, strict=True)]
        for variable, total in zip(self._sums, sums, strict=True):
            variable.assign(tf.where(acts, tf.zeros_like(total), total))
        self._count.assign(tf.where(acts, 0, self._count.value + 1))
        means = [total / self._batches for total in sums]
        if tf.__internal__.distribute.strategy_supports_no_merge_call():
            _if(acts, lambda: act(means))
            return

        # MirroredStrategy merges the replicas' contexts inside of an optimizer. It cannot do so
        # inside of a condition, so that the condition has to stand outside of the contexts.
        def across_replicas(strategy, acts, means):
            each = strategy.extended.call_for_each_replica
            _if(strategy.experimental_local_results(acts)[0], lambda: each(act, args=(means,)))

        tf.distribute.get_replica_context().merge_call(across_replicas, args=(acts, means))


def _if(condition, act):
    def acted():
        act()
        return tf.constant(True)

    tf.cond(condition, acted, lambda: tf.constant(False))


def _values(variables):
    return [tf.convert_to_tensor(variable.value) for variable in variables]
