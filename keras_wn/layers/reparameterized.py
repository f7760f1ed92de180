"""What the weight-normalized layer classes share: the gain, the effective kernel, saving and loading."""

import keras
from keras import initializers

from keras_wn.layers import substitution
from keras_wn.reparameterizations import norm, weight_norm


class Reparameterized:
    """Mixin, placed before a Keras layer class with one kernel: `w = g v / ||v||`, one norm per output unit.

    The kernel variable that the Keras layer makes holds v. Its `call` sees w. `kernel_regularizer` and
    `kernel_constraint` act on v.

    Args:
        use_gain: Whether g is trained. Without it, `w = v / ||v||`: the strict form.
        gain_initializer: Where g starts. None: at `||v||`, so that the layer starts as the plain Keras layer does.

    Attributes:
        v: Variable, the stored direction.
        g: Variable of shape `(units,)`, the gain; None with `use_gain=False`.
        effective_kernel: Tensor, w in the dtype of v.
    """

    def __init__(self, *args, use_gain=True, gain_initializer=None, **kwargs):
        for name in ("lora_rank", "quantization_config"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    f"{type(self).__name__} does not support {name}. Received: {name}={kwargs[name]!r}. Allowed: None."
                )
        super().__init__(*args, **kwargs)
        if self.quantization_mode is not None:
            raise ValueError(
                f"{type(self).__name__} cannot be quantized. Received: dtype={kwargs['dtype']!r}. Allowed: a floating-point policy."
            )
        self.use_gain = use_gain
        self.gain_initializer = initializers.get(gain_initializer)
        self.g = None

    def build(self, input_shape):
        super().build(input_shape)
        if not self.use_gain:
            return
        self.g = self.add_weight(
            name="kernel_g",
            shape=(self.v.shape[-1],),
            initializer=self.gain_initializer or self._norm_of_v,
        )

    @property
    def v(self):
        return self._kernel

    @property
    def effective_kernel(self):
        with substitution.full_precision():
            gain = None if self.g is None else self.g.value
            w = weight_norm(self.v.value, gain, self._norm_axis)
        return keras.ops.cast(w, self.variable_dtype)

    def call(self, inputs):
        return substitution.call_substituted(self, super().call, {id(self.v): self.effective_kernel}, inputs)

    def get_config(self):
        config = super().get_config()
        config.pop("quantization_config", None)
        return {
            **config,
            "use_gain": self.use_gain,
            "gain_initializer": initializers.serialize(self.gain_initializer),
        }

    def save_own_variables(self, store):
        # By name, and v itself: the Keras classes would save the effective kernel, and no gain.
        for variable in self._own_variables():
            store[variable.name] = variable

    def load_own_variables(self, store):
        expected = {variable.name: variable for variable in self._own_variables()}
        if set(store.keys()) != set(expected):
            raise ValueError(
                f"Layer '{self.name}' ({type(self).__name__}) expected the variables {sorted(expected)}, "
                f"but the weights file holds {sorted(store.keys())}."
            )
        for name, variable in expected.items():
            if tuple(store[name].shape) != tuple(variable.shape):
                raise ValueError(
                    f"Layer '{self.name}' expected variable '{name}' of shape {tuple(variable.shape)}, "
                    f"but the weights file holds shape {tuple(store[name].shape)}."
                )
        for name, variable in expected.items():
            variable.assign(store[name])

    def quantize(self, mode=None, **kwargs):
        raise NotImplementedError(
            f"{type(self).__name__} cannot be quantized (mode={mode!r}): fold it to a plain Keras layer first."
        )

    def enable_lora(self, rank, **kwargs):
        raise NotImplementedError(
            f"{type(self).__name__} does not support LoRA (rank={rank!r}): fold it to a plain Keras layer first."
        )

    @property
    def _norm_axis(self):
        return tuple(range(len(self.v.shape) - 1))

    def _norm_of_v(self, shape, dtype=None):
        with substitution.full_precision():
            return keras.ops.cast(keras.ops.reshape(norm(self.v.value, self._norm_axis), shape), dtype)

    def _own_variables(self):
        return self._trainable_variables + self._non_trainable_variables
