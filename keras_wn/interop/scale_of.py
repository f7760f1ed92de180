"""The gain that a layer of a graph takes from elsewhere."""

import keras

from keras_wn.layers import JoinWeights
from keras_wn.layers.reparameterized import OutputScaled


def scale_of(layer):
    """Value of the `scale` that a weight-normalized layer of a functional model is called with; None for others.

    Raises:
        ValueError: If it is not the same in all calls, or neither a constant nor from `JoinWeights`: it may then depend on the input.
    """
    if not isinstance(layer, OutputScaled):
        return None
    # A node for each call in a graph; none in subclassed models.
    scales = [node.arguments.kwargs.get("scale") for node in layer._inbound_nodes]
    if all(scale is None for scale in scales):
        return None
    if any(scale is not scales[0] for scale in scales):
        raise ValueError(
            f"Layer '{layer.name}' is called with several scales. Allowed: the same in all calls."
        )
    if not isinstance(scales[0], keras.KerasTensor):
        return scales[0]
    origin = scales[0]._keras_history
    if not isinstance(origin.operation, JoinWeights):
        raise ValueError(
            f"Layer '{layer.name}' takes its scale from '{origin.operation.name}' ({type(origin.operation).__name__}). "
            "Allowed: JoinWeights, whose outputs do not depend on the input, and constants."
        )
    return origin.operation.values()[origin.tensor_index]
