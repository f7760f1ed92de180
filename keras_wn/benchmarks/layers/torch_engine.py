"""PyTorch's own weight_norm against plain PyTorch."""

import torch
from torch.nn.utils.parametrizations import weight_norm

ENGINE = f"torch {torch.__version__}"


def steps(shape, x, y):
    """Name -> function that runs one train step and waits for it."""
    return {name: _step(shape, x, y, wrap) for name, wrap in {"plain": lambda m: m, "weight_norm": weight_norm}.items()}


def _step(shape, x, y, wrap):
    x, y = torch.tensor(x), torch.tensor(y)
    if shape.kernel_size is None:
        module = wrap(torch.nn.Linear(shape.inputs[-1], shape.units))
    else:
        module = wrap(torch.nn.Conv2d(shape.inputs[-1], shape.units, shape.kernel_size, padding="same"))
        x, y = x.permute(0, 3, 1, 2).contiguous(), y.permute(0, 3, 1, 2).contiguous()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)

    def run():
        optimizer.zero_grad()
        torch.mean(torch.square(module(x) - y)).backward()
        optimizer.step()

    return run
