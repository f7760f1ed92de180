"""Computes the effective weight w from the stored direction v and the gain g."""

from keras_wn.reparameterizations.weight_norm import centered, norm, scale, weight_norm

__all__ = ["centered", "norm", "scale", "weight_norm"]
