"""A gated PixelCNN (van den Oord et al. 2016) over a small grid of codes, each cell with a codebook of its own.

A vertical stack sees the rows above a cell, a horizontal one the cells on its left; layer after layer the first hands
on to the second. Differences from the published network of DVQ-VAE: only the cells that are decoded are there (it
samples a third column, which nothing decodes); every cell has its own embedding and its own logits, for each has a
codebook of its own; kernels are 3 wide; sampling computes the cell that is drawn and nothing else, where the published
code runs the whole network for each; each row of a batch has its own condition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable


def gate(x: torch.Tensor) -> torch.Tensor:
    """tanh of the first half of the channels, times the sigmoid of the second."""
    a, b = x.chunk(2, -1)
    return torch.tanh(a) * torch.sigmoid(b)


class GatedLayer(nn.Module):
    """One layer of both stacks.

    Args:
        width: of the stacks.
        condition: of the condition.
        first: the cell itself is not looked at (mask A), and nothing is added to the layer's input.
    """

    def __init__(self, width: int, condition: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.above = nn.Linear((3 if first else 6) * width, 2 * width)
        self.left = nn.Linear((1 if first else 2) * width, 2 * width)
        self.across = nn.Linear(2 * width, 2 * width)
        self.condition = nn.Linear(condition, 2 * width)
        self.out = nn.Linear(width, width)

    def vertical(self, above: torch.Tensor, row: torch.Tensor, condition: torch.Tensor,
                 ) -> tuple[torch.Tensor, torch.Tensor]:
        """The vertical stack of one row of the grid.

        Args:
            above: (N, W, width) its input in the row above; zeros over the first.
            row: (N, W, width) its input in this row.
            condition: (N, 2 width) of `condition`.

        Returns:
            (N, W, 2 width) before the gate, for `horizontal`; (N, W, width) the next layer's input.
        """
        seen = above if self.first else torch.cat([above, row], -1)
        wide = nn.functional.pad(seen, (0, 0, 1, 1))
        count = row.shape[1]
        v = self.above(torch.cat([wide[:, shift:shift + count] for shift in range(3)], -1))
        return v, gate(v + condition[:, None])

    def horizontal(self, v: torch.Tensor, left: torch.Tensor, cell: torch.Tensor, condition: torch.Tensor,
                   ) -> torch.Tensor:
        """The horizontal stack of one cell.

        Args:
            v: (N, 2 width) of `vertical` in this cell.
            left: (N, width) its input in the cell on the left; zeros at the first.
            cell: (N, width) its input in this cell.
            condition: (N, 2 width) of `condition`.

        Returns:
            (N, width) the next layer's input.
        """
        seen = left if self.first else torch.cat([left, cell], -1)
        out = self.out(gate(self.across(v) + self.left(seen) + condition))
        return out if self.first else out + cell


class PixelCNN(nn.Module):
    """The distribution of a grid of codes, cell after cell, row by row.

    Args:
        grid: rows and columns.
        count: codes of each cell's book.
        condition: width of the condition.
        width: of the stacks.
        layers: of them.
    """

    def __init__(self, grid: tuple[int, int], count: int, condition: int, width: int = 96, layers: int = 4) -> None:
        super().__init__()
        self.grid, self.count, self.width = grid, count, width
        self.cells = grid[0] * grid[1]
        self.embedding = nn.Embedding(self.cells * count, width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.layers = nn.ModuleList(GatedLayer(width, condition, first=layer == 0) for layer in range(layers))
        self.hidden = nn.Sequential(nn.ReLU(), nn.Linear(width, 2 * width), nn.ReLU())
        self.out = nn.ModuleList(nn.Linear(2 * width, count) for _ in range(self.cells))

    def embedded(self, codes: torch.Tensor, cell: int) -> torch.Tensor:
        """(N, width) of codes (N,) of a cell."""
        return self.embedding(codes + cell * self.count)

    def forward(self, codes: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """The logits of every cell, each given those before it.

        Args:
            codes: (N, cells).
            condition: (N, condition).

        Returns:
            (N, cells, count).
        """
        logits: list[torch.Tensor] = []

        def known(cell: int, found: torch.Tensor) -> torch.Tensor:
            logits.append(found)
            return codes[:, cell]

        self.visit(len(codes), condition, known)
        return torch.stack(logits, 1)

    def visit(self, count: int, condition: torch.Tensor,
              choose: Callable[[int, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Goes through the cells in order, computing the logits of each once its forerunners are chosen.

        The vertical stack is computed once a row, the horizontal one once a cell: nothing twice.

        Args:
            count: N.
            condition: (N, condition).
            choose: of a cell and its logits (N, count): its codes (N,).

        Returns:
            (N, cells) the codes chosen.
        """
        layers = [cast("GatedLayer", layer) for layer in self.layers]
        told = [layer.condition(condition) for layer in layers]
        columns = self.grid[1]
        nothing = condition.new_zeros(count, columns, self.width)
        chosen: list[torch.Tensor] = []
        above = [nothing] * len(layers)  # each layer's input in the row above
        for row in range(self.grid[0]):
            x, inputs, across = nothing, [], []
            for number, layer in enumerate(layers):
                inputs.append(x)
                v, x = layer.vertical(above[number], x, told[number])
                across.append(v)
            left = [nothing[:, 0]] * len(layers)  # each layer's input in the cell on the left
            known = []
            for column in range(columns):
                x, here = nothing[:, 0], []
                for number, layer in enumerate(layers):
                    here.append(x)
                    x = layer.horizontal(across[number][:, column], left[number], x, told[number])
                cell = row * columns + column
                chosen.append(choose(cell, self.out[cell](self.hidden(x))))
                # What neither stack saw of the row and the cell themselves is known to those that follow.
                here[0] = self.embedded(chosen[-1], cell)
                known.append(here[0])
                left = here
            inputs[0] = torch.stack(known, 1)
            above = inputs
        return torch.stack(chosen, 1)
