"""The gain that a layer of a graph takes from elsewhere."""

from keras_wn.layers import JoinWeights


def scale_of(layer):
    """Value of the `scale` that a weight-normalized layer is called with, or None.

    Raises:
        ValueError: If it is not the same in all calls, or does not come from `JoinWeights`: it may then depend on the input.
    """
    # A node for each call in a graph; none in subclassed models.
    scales = [node.arguments.kwargs.get("scale") for node in layer._inbound_nodes]
    if all(scale is None for scale in scales):
        return None
    if any(scale is not scales[0] for scale in scales):
        raise ValueError(f"fold: layer '{layer.name}' is called with several scales. Allowed: the same in all calls.")
    origin = scales[0]._keras_history
    if not isinstance(origin.operation, JoinWeights):
        raise ValueError(
            f"fold: layer '{layer.name}' takes its scale from '{origin.operation.name}' ({type(origin.operation).__name__}). "
            "Allowed: JoinWeights, whose outputs do not depend on the input."
        )
    return origin.operation.values()[origin.tensor_index]
