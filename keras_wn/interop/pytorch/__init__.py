"""Weights from PyTorch and to it."""

from keras_wn.interop.pytorch.load import load_torch_state_dict
from keras_wn.interop.pytorch.save import to_torch_state_dict

__all__ = ["load_torch_state_dict", "to_torch_state_dict"]
