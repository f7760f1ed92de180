"""What the weight-normalized layer classes share: the gains, the effective kernels, saving and loading."""

from keras import initializers

from keras_wn.layers import acting_on_w, gains, named_variables, substitution
from keras_wn.layers.kernels import kernels_of
from keras_wn.layers.wrapped import one_or_all


class Reparameterized:
    """Mixin, placed before a Keras layer class: `w = g v / ||v||`, one norm per output unit.

    The kernel variable that the Keras layer makes holds v. Its `call` sees w. The layer's own regularizers and constraints
    act on v; on w through `keras_wn.regularizers.EffectiveKernelRegularizer` and `keras_wn.constraints.EffectiveKernelConstraint`.

    Args:
        use_gain: Whether there is a gain g. Without it, `w = v / ||v||`: the strict form.
        gain_initializer: Where g starts. None: at `||v||`, so that the layer starts as the plain Keras layer does.
        trainable_gain: Whether g is trained, or stays where it starts. A layer with two kernels also takes a dict from their names.
        log_gain: Whether log g is trained in place of g: `g = exp(s)`, which stays positive (the paper's section 2.1).

    Attributes:
        v: Variable, the stored direction.
        g: Variable with a number per output unit, the gain; log g with `log_gain=True`, None with `use_gain=False`.
        effective_kernel: Tensor, w in the dtype of v.

    A layer with two kernels has dicts from the kernel's name in place of each.
    """

    def __init__(self, *args, use_gain=True, gain_initializer=None, trainable_gain=True, log_gain=False, **kwargs):
        for name in ("lora_rank", "quantization_config"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    f"{type(self).__name__} does not support {name}. Received: {name}={kwargs[name]!r}. Allowed: None."
                )
        gains.check_options(type(self).__name__, use_gain, log_gain, trainable_gain)
        super().__init__(*args, **kwargs)
        if self.quantization_mode is not None:
            raise ValueError(
                f"{type(self).__name__} cannot be quantized. Received: dtype={self.dtype_policy.name!r}. "
                "Allowed: a floating-point policy."
            )
        self.use_gain = use_gain
        self.gain_initializer = initializers.get(gain_initializer)
        self.trainable_gain = trainable_gain
        self.log_gain = log_gain
        self._gains = {}

    def build(self, input_shape=None):
        super().build(input_shape)
        if self.use_gain:
            kernels = {kernel.name: kernel for kernel in kernels_of(self)}
            self._gains = gains.add(self, kernels, self.gain_initializer, self.log_gain, self.trainable_gain)
        for kernel, gain in self.kernels_and_gains():
            acting_on_w.bind(kernel, gain)

    @property
    def v(self):
        return one_or_all({kernel.name: kernel.variable for kernel in kernels_of(self)})

    @property
    def g(self):
        return one_or_all({name: gain.variable for name, gain in self._gains.items()}) if self._gains else None

    @property
    def effective_kernel(self):
        return one_or_all({kernel.name: gains.effective(kernel, gain) for kernel, gain in self.kernels_and_gains()})

    def kernels_and_gains(self):
        """The layer's kernels, each with its gain; None for it in the strict form."""
        return [(kernel, self._gains.get(kernel.name)) for kernel in kernels_of(self)]

    def call(self, inputs):
        return self.call_with(inputs, [gains.effective(kernel, gain) for kernel, gain in self.kernels_and_gains()])

    def call_with(self, inputs, effective_kernels):
        """What the Keras layer makes of the inputs with these in the place of its kernels."""
        variables = [kernel.variable for kernel in kernels_of(self)]
        substitutes = {id(variable): w for variable, w in zip(variables, effective_kernels, strict=True)}
        return substitution.call_substituted(self, super().call, substitutes, inputs)

    def rematerialized_call(self, layer_call, *args, **kwargs):
        return substitution.rematerialized(self, super().rematerialized_call, layer_call, *args, **kwargs)

    def get_config(self):
        config = super().get_config()
        config.pop("quantization_config", None)
        return {
            **config,
            "use_gain": self.use_gain,
            "gain_initializer": initializers.serialize(self.gain_initializer),
            "trainable_gain": gains.trainable_option(self, self._gains, self.trainable_gain),
            "log_gain": self.log_gain,
        }

    def save_own_variables(self, store):
        # v itself, and g: the Keras classes would save the effective kernel, and no gain.
        named_variables.save_by_name(self, store)

    def load_own_variables(self, store):
        named_variables.load_by_name(self, store)

    def quantize(self, mode=None, **kwargs):
        raise NotImplementedError(
            f"{type(self).__name__} cannot be quantized (mode={mode!r}): only a plain Keras layer can."
        )

    def enable_lora(self, rank, **kwargs):
        raise NotImplementedError(
            f"{type(self).__name__} does not support LoRA (rank={rank!r}): only a plain Keras layer does."
        )
