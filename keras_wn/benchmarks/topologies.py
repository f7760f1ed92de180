"""Slices of TPU chips that a step can be compiled for, and published figures of the chips."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """A TPU chip.

    Attributes:
        name: Text.
        flops: Peak bfloat16 operations a second.
        bandwidth: Peak bytes a second of its memory.
        memory: Bytes.
        source: Where the figures are published.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float
    source: str


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice: its chip, and the accelerator type that libtpu takes for it."""

    chip: Chip
    accelerator: str


_V4 = Chip("TPU v4", 275e12, 1228e9, 32e9, "cloud.google.com/tpu/docs/v4")
_V5E = Chip("TPU v5e", 197e12, 819e9, 16e9, "cloud.google.com/tpu/docs/v5e")
_V5P = Chip("TPU v5p", 459e12, 2765e9, 95e9, "cloud.google.com/tpu/docs/v5p")
_V6E = Chip("TPU v6e", 918e12, 1638e9, 32e9, "cloud.google.com/tpu/docs/v6e")

# By the name that `--topology` and JAX take. Accelerator types count cores: two a chip on v4 and v5p.
TOPOLOGIES = {
    "v4:2x2x1": Topology(_V4, "v4-8"),
    "v5e:2x2": Topology(_V5E, "v5litepod-4"),
    "v5e:2x4": Topology(_V5E, "v5litepod-8"),
    "v5p:2x2x1": Topology(_V5P, "v5p-8"),
    "v6e:2x2": Topology(_V6E, "v6e-4"),
    "v6e:2x4": Topology(_V6E, "v6e-8"),
}
