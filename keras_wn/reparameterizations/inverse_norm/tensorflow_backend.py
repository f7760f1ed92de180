"""1 / ||v|| on TensorFlow."""

from keras_wn.reparameterizations.euclidean import reciprocal_of_parts

# Numbers in a part of a large v. What is made on the way is then a tensor that memory is at hand for: to get more than 32 MB takes
# the system longer than the arithmetic.
_AT_ONCE = 2**20


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

            return reciprocal_of_parts(_parts(v, axis), axis), gradient

        # Of tf.distribute's variables a float64 one arrives as it is, which a custom gradient cannot take.
        return of_v(tf.convert_to_tensor(v))

    return function


def _parts(v, axis):
    """`v` in as few equal parts along its first axis as are small enough; whole where that is not an axis of the norm."""
    import tensorflow as tf

    size, rows = v.shape.num_elements(), v.shape[0]
    if 0 not in axis or size is None or size <= _AT_ONCE:
        return [v]
    fitting = (n for n in range(-(-size // _AT_ONCE), rows + 1) if rows % n == 0)
    return tf.split(v, next(fitting, rows), axis=0)
