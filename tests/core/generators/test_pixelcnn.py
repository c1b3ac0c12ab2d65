"""The prior over codes: what a cell may see, and that sampling computes what the whole network would."""

import pytest
import torch
from torch import nn

from core.generators.pixelcnn import PixelCNN

GRID, CODES, TOLD = (3, 2), 7, 5


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return PixelCNN(GRID, CODES, TOLD, width=8, layers=3).eval()


@pytest.fixture(scope="module")
def grids():
    rng = torch.Generator().manual_seed(1)
    return torch.randint(CODES, (5, 6), generator=rng), torch.randn(5, TOLD, generator=rng)


def convolved(network, codes, condition):
    """The logits by whole masked convolutions over the grid, as the published network computes them."""
    rows, columns = GRID
    x = network.embedding(codes + CODES * torch.arange(6)).reshape(len(codes), rows, columns, -1).permute(0, 3, 1, 2)
    width = x.shape[1]
    down = along = x

    def gated(y):
        return torch.tanh(y[:, :width]) * torch.sigmoid(y[:, width:])

    for layer in network.layers:
        told = layer.condition(condition)[:, :, None, None]
        weight = layer.above.weight.reshape(2 * width, 3, -1, width)  # out, shift, rows, channels
        if layer.first:  # mask A: the row itself is not seen
            weight = torch.cat([weight, torch.zeros_like(weight)], 2)
        v = nn.functional.conv2d(nn.functional.pad(down, (1, 1, 1, 0)), weight.permute(0, 3, 2, 1), layer.above.bias)
        weight = layer.left.weight.reshape(2 * width, -1, width)  # out, places, channels
        if layer.first:
            weight = torch.cat([weight, torch.zeros_like(weight)], 1)
        h = nn.functional.conv2d(nn.functional.pad(along, (1, 0, 0, 0)), weight.permute(0, 2, 1)[:, :, None],
                                 layer.left.bias)
        down = gated(v + told)
        across = nn.functional.conv2d(v, layer.across.weight[:, :, None, None], layer.across.bias)
        out = nn.functional.conv2d(gated(across + h + told), layer.out.weight[:, :, None, None], layer.out.bias)
        along = out if layer.first else out + along
    cells = network.hidden(along.permute(0, 2, 3, 1)).flatten(1, 2)
    return torch.stack([head(cells[:, cell]) for cell, head in enumerate(network.out)], 1)


def test_cell_by_cell_it_computes_the_masked_convolutions_of_the_whole_grid(network, grids):
    codes, condition = grids
    with torch.no_grad():
        assert torch.allclose(network(codes, condition), convolved(network, codes, condition), atol=1e-5)


def test_a_cell_sees_all_cells_before_it_and_none_after(network, grids):
    codes, condition = grids
    with torch.no_grad():
        before = network(codes, condition)
        for changed in range(6):
            other = codes.clone()
            other[:, changed] = (other[:, changed] + 1) % CODES
            moved = (network(other, condition) - before).abs().amax((0, 2))
            assert (moved[: changed + 1] == 0).all()
            assert (moved[changed + 1:] > 1e-7).all()


def test_each_row_has_its_own_condition(network, grids):
    codes, condition = grids
    with torch.no_grad():
        alone = torch.cat([network(codes[row, None], condition[row, None]) for row in range(5)])
        assert torch.allclose(network(codes, condition), alone, atol=1e-5)
        assert not torch.allclose(network(codes, condition.flip(0)), alone, atol=1e-3)


def test_visiting_asks_for_each_cell_once_with_the_logits_of_what_was_chosen(network, grids):
    codes, condition = grids
    seen = []

    def choose(cell, logits):
        seen.append((cell, logits))
        return codes[:, cell]

    with torch.no_grad():
        assert torch.equal(network.visit(5, condition, choose), codes)
        assert [cell for cell, _ in seen] == list(range(6))
        assert torch.allclose(torch.stack([logits for _, logits in seen], 1), network(codes, condition))


def test_drawing_computes_no_more_than_the_cell_that_is_drawn(network, grids):
    """The horizontal stack runs once a cell, the vertical one once a row, whatever the order of rows."""
    calls = {"left": 0, "above": 0}
    hooks = [getattr(layer, name).register_forward_hook(
        lambda *_, name=name: calls.update({name: calls[name] + 1})) for layer in network.layers for name in calls]
    with torch.no_grad():
        network.visit(5, grids[1], lambda cell, logits: logits.argmax(1))
    for hook in hooks:
        hook.remove()
    assert calls == {"left": 3 * 6, "above": 3 * 3}
