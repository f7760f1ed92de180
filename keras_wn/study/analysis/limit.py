"""How large a learning rate a seed bears."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Limit:
    """The largest stable learning rate of one seed: it and all smaller ones of the grid are stable.

    Attributes:
        seed: Integer.
        learning_rate: Float, or None if the smallest one is unstable.
        censored: `at least` if all are stable, `below` if the smallest one is not, or None: what the grid hides.
        decades: Float, log10 of the learning rate; where there is none, a step of the grid below the smallest.
    """

    seed: int
    learning_rate: float | None
    censored: str | None
    decades: float

    @classmethod
    def of(cls, seed, grid, stable):
        """The limit of a seed.

        Args:
            seed: Integer.
            grid: Learning rates, from the smallest on.
            stable: Whether training was stable at each of them.

        Returns:
            `Limit`.

        Example:

        >>> Limit.of(0, [0.01, 0.1, 1.0], [True, False, True])
        Limit(seed=0, learning_rate=0.01, censored=None, decades=-2.0)
        """
        count = next((i for i, is_stable in enumerate(stable) if not is_stable), len(grid))
        if count == 0:
            step = math.log10(grid[1] / grid[0]) if len(grid) > 1 else 0.0
            return cls(seed, None, "below", math.log10(grid[0]) - step)
        rate = grid[count - 1]
        return cls(seed, rate, "at least" if count == len(grid) else None, math.log10(rate))
