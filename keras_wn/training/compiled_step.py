"""A train step that XLA compiles under tf.distribute."""

import keras
import tensorflow as tf


class CompiledStepModel(keras.Model):
    """Functional model whose forward and backward pass run as one function, under XLA if asked, and the rest of a step outside.

    Stock Keras compiles a whole step or nothing, and a step with an all-reduce or an optimizer under `tf.distribute` does not
    compile. Here each replica computes its outputs, gradients and new statistics in a function of values; then gradients are
    summed over the replicas and the statistics of batch normalization averaged, and the optimizer sees what one device
    would: clipping and the check for float16's infinities act on the sum.

    Args:
        *args, **kwargs: As `keras.Model(inputs, outputs)`.
        xla: Boolean, whether the forward and backward pass are compiled by XLA. `compile` must have `jit_compile=False`.
    """

    def __init__(self, *args, xla=False, **kwargs):
        super().__init__(*args, **kwargs)
        # In a list, out of sight of Keras' tracking of functions to export.
        self._gradients = [tf.function(self._forward_and_backward, jit_compile=xla, reduce_retracing=True)]

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        loss, y_pred, fixed, gradients = self._gradients[0](
            _values(self.trainable_variables),
            _values(self.non_trainable_variables),
            x,
            y,
            sample_weight,
            self.optimizer.scale_loss(tf.constant(1.0)),
        )
        replicas = tf.distribute.get_replica_context()
        gradients = replicas.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        self._assign(fixed, replicas)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._track(loss * replicas.num_replicas_in_sync, y, sample_weight)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data):
        # As Keras', but with the loss averaged by weight: what fills the last batch up has weight 0.
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        self._track(self.loss(y, y_pred, sample_weight) * replicas, y, sample_weight)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _forward_and_backward(self, trainable, fixed, x, y, sample_weight, scale):
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            y_pred, fixed, added = self.stateless_call(trainable, fixed, x, training=True, return_losses=True)
            loss = self.loss(y, y_pred, sample_weight)
            for term in added:
                loss += tf.cast(term, loss.dtype) / tf.distribute.get_strategy().num_replicas_in_sync
            scaled = loss * tf.cast(scale, loss.dtype)
        return loss, y_pred, fixed, tape.gradient(scaled, trainable)

    def _assign(self, values, replicas):
        for variable, value in zip(self.non_trainable_variables, values, strict=True):
            if variable.dtype.startswith(("float", "bfloat")):
                value = replicas.all_reduce(tf.distribute.ReduceOp.MEAN, value)
            variable.assign(value)

    def _track(self, loss, y, sample_weight):
        weight = tf.shape(y)[0] if sample_weight is None else tf.reduce_sum(sample_weight)
        self._loss_tracker.update_state(loss, sample_weight=weight)


def _values(variables):
    return [tf.convert_to_tensor(variable.value) for variable in variables]
