"""PyTorch's own weight_norm against plain PyTorch. PyTorch is imported where it is used: elsewhere it need not be installed."""


def name():
    """The engine, with its version."""
    import torch

    return f"torch {torch.__version__}"


def steps(shape, x, y):
    """Name -> function that runs one train step and waits for it."""
    from torch.nn.utils.parametrizations import weight_norm

    return {
        "plain": _step(shape, x, y, lambda module: module),
        "weight_norm": _step(shape, x, y, weight_norm),
    }


def _step(shape, x, y, wrap):
    import torch

    x, y = torch.tensor(x), torch.tensor(y)
    if shape.kernel_size is None:
        module = wrap(torch.nn.Linear(shape.inputs[-1], shape.units))
    else:
        module = wrap(
            torch.nn.Conv2d(shape.inputs[-1], shape.units, shape.kernel_size, padding="same")
        )
        x, y = x.permute(0, 3, 1, 2).contiguous(), y.permute(0, 3, 1, 2).contiguous()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)

    def run():
        optimizer.zero_grad()
        torch.mean(torch.square(module(x) - y)).backward()
        optimizer.step()

    return run
