"""Exports weight-normalized models to ONNX, LiteRT and SavedModel, and compares the outputs.

An exported folded model has the operations of a plain model alone.
"""

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers as kl

import keras_wn
from keras_wn import layers
from tests.helpers import to_numpy

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(1, 8, 8, 3)).astype("float32")
SERIES = RNG.normal(size=(1, 8, 4)).astype("float32")
pytestmark = [
    # The converters' own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def images(wn):
    """Convolutions, a batch norm where `wn` is weight normalization, and a dense layer."""
    x = inputs = keras.Input((8, 8, 3), batch_size=1)
    x = wn(kl.Conv2D(4, 3, use_bias=wn is plain))(x)
    x = x if wn is plain else kl.BatchNormalization()(x)
    x = wn(kl.DepthwiseConv2D(2))(kl.ReLU()(x))
    x = wn(kl.Conv2D(3, 2, activation="relu"))(x)
    return keras.Model(inputs, wn(kl.Dense(2))(kl.Flatten()(x)))


def series(wn):
    """Dilated convolutions as in a WaveNet, and a transposed one as in a HiFi-GAN generator."""
    x = inputs = keras.Input((8, 4), batch_size=1)
    x = wn(kl.Conv1D(6, 2, dilation_rate=2, padding="causal", activation="tanh"))(x)
    x = wn(kl.Conv1DTranspose(4, 4, 2, padding="same"))(x)
    return keras.Model(inputs, wn(kl.Conv1D(1, 3, padding="same"))(x))


def plain(layer):
    return layer


MODELS = {"images": (images, IMAGES), "series": (series, SERIES)}
# Operations of which no plain convolution is made: of norms, and of batch normalization.
OF_NORMS = {
    "Sqrt",
    "ReduceSum",
    "ReduceMax",
    "BatchNormalization",
    "SQRT",
    "SUM",
    "REDUCE_MAX",
    "SQUARE",
    "RSQRT",
    "Square",
    "Sum",
    "Rsqrt",
}


def onnx_operations_and_outputs(model, path, x):
    model(x)  # Keras exports only a model that was called.
    model.export(path / "m.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path / "m.onnx")
    outputs = session.run(None, {session.get_inputs()[0].name: x})[0]
    return [node.op_type for node in onnx.load(path / "m.onnx").graph.node], outputs


def litert_operations_and_outputs(model, path, x):
    model.export(path / "m.tflite", format="litert", verbose=False)
    interpreter = Interpreter(str(path / "m.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    outputs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return [details["op_name"] for details in interpreter._get_ops_details()], outputs


def saved_model_operations_and_outputs(model, path, x):
    model.export(path / "m", verbose=False)
    function = tf.saved_model.load(path / "m").signatures["serving_default"]
    (outputs,) = function(tf.constant(x)).values()
    graph = function.graph.as_graph_def()
    inner = (node for function in graph.library.function for node in function.node_def)
    return [node.op for node in (*graph.node, *inner)], outputs.numpy()


FORMATS = {
    "onnx": onnx_operations_and_outputs,
    "litert": litert_operations_and_outputs,
    "saved_model": saved_model_operations_and_outputs,
}


@pytest.mark.parametrize(
    "wn", [layers.WeightNormalization, keras_wn.weight_norm], ids=["wrapper", "subclasses"]
)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", FORMATS)
def test_export(kind, name, wn, tmp_path):
    make, x = MODELS[name]
    model = make(wn) if wn is layers.WeightNormalization else wn(make(with_batch_norm))
    randomize(model)
    expected = to_numpy(model(x))

    _, outputs = FORMATS[kind](model, tmp_path, x)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)

    operations, outputs = FORMATS[kind](keras_wn.fold(model, fold_bn=True), tmp_path, x)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    twin = make(plain)
    randomize(twin)  # Zero biases would be left out.
    plain_operations, _ = FORMATS[kind](twin, tmp_path, x)
    assert sorted(operations) == sorted(plain_operations)
    assert not set(operations) & OF_NORMS


def randomize(model):
    for variable in model.variables:
        variable.assign(RNG.uniform(0.5, 1.5, variable.shape))


def with_batch_norm(layer):
    """As `plain`, but not the same function: with the batch norm that is folded later."""
    return layer
