"""Several batches in one update of the optimizer."""

import tensorflow as tf


class Accumulator:
    """Sum of the gradients of the batches since the last update, kept among the optimizer's variables.

    Each n-th call of `__call__` acts on `(g_1 + ... + g_n) / n`; the others only add. Keras' own
    `gradient_accumulation_steps` fails under `tf.distribute` with more than one replica.

    The gradients are summed over the replicas in every batch, so that the sum is the same on each replica and one copy of it
    in a checkpoint is enough to go on between two updates.

    Args:
        optimizer: Keras optimizer, whose `variables` get the sums and the count, so that a checkpoint holds them. To be made
            in the scope of the strategy.
        variables: List of the model's trainable variables.
        batches: Integer of 2 or more, n.
    """

    def __init__(self, optimizer, variables, batches):
        def add(shape, dtype, name):
            return optimizer.add_variable(shape, dtype=dtype, aggregation="only_first_replica", name=name)

        self._batches = batches
        self._count = add((), "int32", "accumulated_batches")
        self._sums = [add(v.shape, v.dtype, f"{v.path.replace('/', '_')}_accumulated") for v in variables]

    def __call__(self, gradients, act):
        """Adds a batch's gradients and, if it is the n-th, calls `act` with the means and starts anew.

        Args:
            gradients: List of tensors, equal on all replicas; none may be None.
            act: Function of a list of tensors, called in the context of a replica.
        """
        acts = tf.equal(self._count.value + 1, self._batches)
        sums = [total.value + gradient for total, gradient in zip(self._sums, gradients, strict=True)]
        for variable, total in zip(self._sums, sums, strict=True):
            variable.assign(tf.where(acts, tf.zeros_like(total), total))
        self._count.assign(tf.where(acts, 0, self._count.value + 1))
        means = [total / self._batches for total in sums]
        if tf.__internal__.distribute.strategy_supports_no_merge_call():
            _if(acts, lambda: act(means))
        else:
            # A condition around an optimizer has to be outside of the replicas' contexts, where MirroredStrategy merges them.

            def across_replicas(strategy, acts, means):
                each = strategy.extended.call_for_each_replica
                _if(strategy.experimental_local_results(acts)[0], lambda: each(act, args=(means,)))

            tf.distribute.get_replica_context().merge_call(across_replicas, args=(acts, means))


def _if(condition, act):
    def acted():
        act()
        return tf.constant(True)

    tf.cond(condition, acted, lambda: tf.constant(False))
