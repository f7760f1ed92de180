"""A train step on TensorFlow, for Keras 3 and for the Keras 2 of TensorFlow Addons alike."""

import tensorflow as tf


def make(model, optimizer, x, y, jit_compile):
    """Function that runs one step of `model` on one batch and waits for it."""
    x, y = tf.constant(x), tf.constant(y)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, model.trainable_variables)
        return loss, gradients

    @tf.function
    def update(gradients):
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    @tf.function
    def whole():
        loss, gradients = step()
        update(gradients)
        return loss

    def run():
        whole().numpy()

    return run
