"""1 / ||v|| on TensorFlow."""

from keras_wn.reparameterizations.euclidean import reciprocal


def implementation():
    """Function of `v` and a tuple of axes."""
    import tensorflow as tf

    def function(v, axis):
        @tf.custom_gradient
        def of_v(v):
            def gradient(upstream):
                # Once more, since what is at hand counts as a constant in second derivatives; a graph shares the two.
                r = function(v, axis)
                # In this order, nothing overflows between norms of 2^-100 and 2^100.
                return (v * r) * (r * (-r * upstream))

            return reciprocal(v, axis), gradient

        return of_v(v)

    return function
