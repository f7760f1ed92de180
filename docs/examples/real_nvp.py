"""Learns a density in two dimensions by RealNVP with weight-normalized coupling networks."""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from sklearn.datasets import make_moons

import keras_wn

keras.utils.set_random_seed(0)
points, _ = make_moons(4000, noise=0.06, random_state=0)
points = ((points - points.mean(0)) / points.std(0)).astype("float32")
test_points = points[3000:]


def coupling_network():
    """Puts out a logarithm of a scale and a shift for the other coordinate.

    The last layer starts with g = 0, so that each step of the flow starts as the identity. Weight
    normalization of these networks is what RealNVP's authors use (Dinh et al. 2017, arXiv
    1605.08803, section 3.7).
    """
    return keras.Sequential(
        [
            keras.Input((1,)),
            keras_wn.layers.WNDense(64, activation="relu"),
            keras_wn.layers.WNDense(64, activation="relu"),
            keras_wn.layers.WNDense(2, gain_initializer="zeros"),
        ]
    )


couplings = [coupling_network() for _ in range(6)]
inputs = keras.Input((2,))
z = [inputs[:, :1], inputs[:, 1:]]
log_determinant = 0.0
for network in couplings:
    raw = network(z[0])
    log_scale, shift = ops.tanh(raw[:, :1]), raw[:, 1:]
    z = [z[1] * ops.exp(log_scale) + shift, z[0]]
    log_determinant = log_determinant + log_scale
flow = keras.Model(inputs, layers.Concatenate()([*z, log_determinant]))


def negative_log_likelihood(_, outputs):
    z, log_determinant = outputs[:, :2], outputs[:, 2]
    return ops.sum(ops.square(z), axis=1) / 2 + np.log(2 * np.pi) - log_determinant


flow.compile(keras.optimizers.Adam(2e-3), negative_log_likelihood)
before = flow.evaluate(test_points, test_points, verbose=0)
flow.fit(points[:3000], points[:3000], batch_size=100, epochs=40, verbose=0)
after = flow.evaluate(test_points, test_points, verbose=0)
print(f"Negative log-likelihood of 1,000 test points, nats: {before:.3f} before, {after:.3f} after")

axis = np.linspace(-2.5, 2.5, 200, dtype="float32")
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
density = np.exp(-ops.convert_to_numpy(negative_log_likelihood(None, flow.predict(grid, 1000, 0))))
area = (axis[1] - axis[0]) ** 2
print(f"The density sums to {density.sum() * area:.3f} over the square that is drawn")

figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharex=True, sharey=True)
axes[0].scatter(*test_points.T, s=3)
axes[0].set_title("test points")
axes[1].imshow(density.reshape(200, 200), origin="lower", extent=(-2.5, 2.5, -2.5, 2.5))
axes[1].set_title("learned density")
figure.savefig("real_nvp.svg")
