"""The layers that are timed: name, shape of one input, and what a layer is made from."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shape:
    """A layer. A convolution has a `kernel_size`, a dense layer has none."""

    name: str
    inputs: tuple[int, ...]
    units: int
    kernel_size: int | None = None


BATCH = 16
SHAPES = [
    Shape("conv 3x3, 56x56x64 to 64", (56, 56, 64), 64, 3),
    Shape("conv 1x1, 14x14x1024 to 256", (14, 14, 1024), 256, 1),
    Shape("conv 3x3, 7x7x512 to 512", (7, 7, 512), 512, 3),
    Shape("dense, 4096 to 4096", (4096,), 4096),
]
