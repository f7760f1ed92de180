"""Keras' `fit` and `evaluate` under every `tf.distribute` strategy."""

import warnings

import keras
import tensorflow as tf


class DistributedFit(keras.Model):
    """Model whose `fit` and `evaluate` take several replicas, worker processes, and several steps an execution.

    Three things of stock Keras 3 are replaced: what is built from the first batch is built from the data's specification,
    since a mean of the workers' batches fails; the figures of a step are averaged over all replicas before they leave the
    step, since Keras' reduction takes no scalars from worker processes, and so each worker's callbacks see the same; the loop
    of `steps_per_execution`, which fails with more than one replica.

    With `steps_per_execution=n`, epochs of an endless stream are of a multiple of n steps: Keras rounds up to one. A finite data
    set may end between two executions.

    Data is a `tf.data.Dataset` of global batches or a distributed one, as `strategy.distribute_datasets_from_function` gives:
    then each worker makes only its own part of a batch, and `fit` is to be given `steps_per_epoch`.
    """

    def evaluate(self, *args, **kwargs):
        # A distributed data set does not know its length: Keras warns of its end, which is that of any evaluation.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Your input ran out of data")
            return super().evaluate(*args, **kwargs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None:
            spec = iterator.data_adapter.get_tf_dataset().element_spec
            data_batch = keras.tree.map_structure(_of_first_replica, spec)
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def _make_function(self, step_function):
        strategy, steps = self.distribute_strategy, self.steps_per_execution

        def of_replica(data):
            logs = step_function(data)
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, logs)

        @tf.autograph.experimental.do_not_convert
        def one_step(data):
            logs = strategy.run(of_replica, args=(data,))
            return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], logs)

        one_step = tf.function(one_step, reduce_retracing=True)
        with tf.device("CPU"):  # Read after each execution, which is not to wait for a GPU.
            done = tf.Variable(0, dtype=tf.int64, trainable=False)

        @tf.function(reduce_retracing=True)
        @tf.autograph.experimental.do_not_convert
        def several_steps(iterator):
            def step(number, _):
                logs = one_step(iterator.get_next())
                with tf.control_dependencies(tf.nest.flatten(logs)):
                    done.assign_add(1)
                return number + 1, logs

            if steps == 1:
                return one_step(iterator.get_next())
            # The first is outside of the loop, for what it returns.
            return tf.while_loop(lambda number, _: number < steps, step, step(0, None))[1]

        def function(data):
            if not isinstance(data, (tf.data.Iterator, tf.distribute.DistributedIterator)):
                return one_step(next(data))  # Of `train_on_batch`.
            before = done.numpy()
            try:
                return several_steps(data)
            except tf.errors.OutOfRangeError:
                if done.numpy() == before:
                    raise
                return self.get_metrics_result()  # The data ended between two steps.

        return function


def _of_first_replica(spec):
    # A distributed data set's is of all local replicas together.
    return tf.nest.flatten(spec, expand_composites=True)[0]
