"""From the stored v to the effective weight w: one formula a file, `keras.ops` only, float32 inside."""

from keras_wn.reparameterizations.euclidean import norm
from keras_wn.reparameterizations.weight_norm import scale, weight_norm

__all__ = ["norm", "scale", "weight_norm"]
