"""A train step that XLA compiles under tf.distribute."""

import keras
import tensorflow as tf

from keras_wn.training import agc as adaptive_clipping
from keras_wn.training import compile_checks
from keras_wn.training.accumulation import Accumulator
from keras_wn.training.distributed_fit import DistributedFit


class CompiledStepModel(DistributedFit):
    """Functional model whose forward and backward pass run as one function, under XLA if asked, and the rest of a step outside.

    Stock Keras compiles a whole step or nothing, and a step with an all-reduce or an optimizer under `tf.distribute` does not
    compile. Here each replica computes its outputs, gradients and new statistics in a function of values; then gradients are
    summed over the replicas and the statistics of batch normalization averaged, and the optimizer sees what one device
    would: clipping and the check for float16's infinities act on the sum.

    A replica's part of a mean over the batch counts by its number of examples or, with a loss of reduction
    "mean_with_sample_weight", by its sum of weights: the loss is the mean over the whole batch, however it is divided.

    With `accumulation=n`, the optimizer acts on the mean of the gradients of n batches. `optimizer.iterations` counts its
    updates, not batches: schedules of the learning rate are in updates. The sums since the last update are variables of the
    optimizer, saved and restored with it; what an epoch leaves unfinished goes on in the next.

    Args:
        *args, **kwargs: As `keras.Model(inputs, outputs)`.
        xla: Boolean, whether the forward and backward pass are compiled by XLA.
        accumulation: Positive integer, the batches of an update.
        agc: Non-negative float, factor of adaptive gradient clipping (see `keras_wn.training.agc`); 0 for none. It acts
            before the optimizer's own clipping, on unscaled gradients.
        agc_excluded: Tuple of names of layers whose variables it leaves alone; in the paper, the classifier.

    Raises:
        ValueError: If a value is not allowed, or there is no such layer.

    Example:

    >>> inputs = keras.Input((4,))
    >>> model = CompiledStepModel(inputs, keras.layers.Dense(2, name="head")(inputs), accumulation=2)
    >>> model.compile("sgd", keras.losses.MeanSquaredError())
    >>> history = model.fit(tf.zeros((8, 4)), tf.zeros((8, 2)), batch_size=2, verbose=0)
    >>> int(model.optimizer.iterations.numpy())
    2
    """

    def __init__(self, *args, xla=False, accumulation=1, agc=0.0, agc_excluded=(), **kwargs):
        super().__init__(*args, **kwargs)
        if not (isinstance(accumulation, int) and accumulation >= 1):
            raise ValueError(f"CompiledStepModel: accumulation={accumulation} is not allowed. Allowed: 1, 2, 3, ...")
        if not 0 <= agc < float("inf"):
            raise ValueError(f"CompiledStepModel: agc={agc} is not allowed. Allowed: a finite number of 0 or more.")
        names = [layer.name for layer in self.layers]
        for name in agc_excluded:
            if name not in names:
                raise ValueError(f"CompiledStepModel: agc_excluded={name}: no such layer. Allowed: {', '.join(names)}.")
        self._batches_per_update = accumulation
        self._agc_factor = agc
        self._agc_excluded = frozenset(v.path for name in agc_excluded for v in self.get_layer(name).variables)
        # In a list, out of sight of Keras' tracking of functions to export.
        self._gradients = [tf.function(self._forward_and_backward, jit_compile=xla, reduce_retracing=True)]

    def compile(self, optimizer="rmsprop", loss=None, *args, jit_compile=False, **kwargs):
        """As `keras.Model.compile`; what would not be right in this step is refused.

        Args:
            optimizer: Keras optimizer; for several replicas, one that does not sum gradients itself, as
                `SGDL2(sums_gradients=False)`.
            loss: `keras.losses.Loss`.
            jit_compile: False or "auto"; XLA is the constructor's `xla`.
            *args, **kwargs: As `keras.Model.compile`, without `run_eagerly` and `loss_weights`.

        Raises:
            ValueError: If an argument is not allowed.
        """
        optimizer = keras.optimizers.get(optimizer)
        compile_checks.check(optimizer, loss, jit_compile, kwargs, self.distribute_strategy.num_replicas_in_sync)
        super().compile(optimizer, loss, *args, jit_compile=False, **kwargs)
        self._accumulator = None
        if self._batches_per_update > 1:
            with self.distribute_strategy.scope():
                self._accumulator = Accumulator(self.optimizer, self.trainable_variables, self._batches_per_update)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        replicas = tf.distribute.get_replica_context()
        weight = self._weight(y, sample_weight)
        loss, y_pred, fixed, gradients = self._gradients[0](
            _values(self.trainable_variables),
            _values(self.non_trainable_variables),
            x,
            y,
            sample_weight,
            self._share(weight, replicas),
            self.optimizer.scale_loss(tf.constant(1.0)),
        )
        gradients = replicas.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        self._assign(fixed, replicas)
        if self._accumulator is None:
            self._update(gradients)
        else:
            self._accumulator(gradients, self._update)
        self._loss_tracker.update_state(loss * replicas.num_replicas_in_sync, sample_weight=weight)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data):
        # As Keras', but with the loss averaged by the weight that it has in its mean: what fills the last batch up has 0.
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        loss = self.loss(y, y_pred, sample_weight) * replicas
        self._loss_tracker.update_state(loss, sample_weight=self._weight(y, sample_weight))
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _forward_and_backward(self, trainable, fixed, x, y, sample_weight, share, scale):
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            y_pred, fixed, added = self.stateless_call(trainable, fixed, x, training=True, return_losses=True)
            loss = self.loss(y, y_pred, sample_weight)
            terms = [tf.cast(term, loss.dtype) / tf.distribute.get_strategy().num_replicas_in_sync for term in added]
            scaled = (loss * tf.cast(share, loss.dtype) + sum(terms)) * tf.cast(scale, loss.dtype)
        return loss + sum(terms), y_pred, fixed, tape.gradient(scaled, trainable)

    def _weight(self, y, sample_weight):
        """What a mean over these examples counts by, in a mean over more."""
        if sample_weight is None or self.loss.reduction != "mean_with_sample_weight":
            return tf.cast(tf.shape(y)[0], tf.float32)
        return tf.reduce_sum(tf.cast(sample_weight, tf.float32))

    def _share(self, weight, replicas):
        """Factor of this replica's mean, of which Keras takes an equal share: 1 where all have the same weight."""
        if replicas.num_replicas_in_sync == 1:
            return tf.constant(1.0)
        total = replicas.all_reduce(tf.distribute.ReduceOp.SUM, weight)
        return tf.math.divide_no_nan(weight * replicas.num_replicas_in_sync, total)

    def _assign(self, values, replicas):
        for variable, value in zip(self.non_trainable_variables, values, strict=True):
            if variable.dtype.startswith(("float", "bfloat")):
                value = replicas.all_reduce(tf.distribute.ReduceOp.MEAN, value)
                if hasattr(self.optimizer, "inner_optimizer"):
                    # A step that overflows is skipped: a moving average would never be finite again.
                    value = tf.where(tf.math.is_finite(value), value, variable.value)
            variable.assign(value)

    def _update(self, gradients):
        if self._agc_factor:
            gradients = self._agc(gradients)
        self.optimizer.apply(gradients, self.trainable_variables)

    def _agc(self, gradients):
        # The optimizer divides by the scale later; a scale is a power of 2, so that nothing is lost.
        scale = self.optimizer.scale_loss(tf.constant(1.0))
        unscaled = [gradient / scale for gradient in gradients]
        clipped = adaptive_clipping.clip(unscaled, self.trainable_variables, self._agc_factor)
        is_left = [v.path in self._agc_excluded for v in self.trainable_variables]
        return [g if left else c * scale for g, c, left in zip(gradients, clipped, is_left, strict=True)]


def _values(variables):
    return [tf.convert_to_tensor(variable.value) for variable in variables]
