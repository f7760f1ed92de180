"""Weights that TensorFlow Addons wrote with Keras 2."""

from keras_wn.interop.tfa.load import load_tfa_weights

__all__ = ["load_tfa_weights"]
