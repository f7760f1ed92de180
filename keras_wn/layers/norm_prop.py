"""What the normalization propagation layers share: their defaults."""

from keras import initializers as keras_initializers

from keras_wn import constraints
from keras_wn.initializers.unit_filters import UnitFilters

# Arpit et al. 2016, arXiv 1603.01431: the initial gain that keeps a unit's Jacobian near norm 1 after the division by 0.58382.
INITIAL_GAIN = 1 / 1.21


class NormProp:
    """Mixin, placed before a weight-normalized layer class, that sets normalization propagation's defaults."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("kernel_initializer", UnitFilters("glorot_uniform"))
        kwargs.setdefault("kernel_constraint", constraints.UnitNorm())
        kwargs.setdefault("gain_initializer", keras_initializers.Constant(INITIAL_GAIN))
        super().__init__(*args, **kwargs)
