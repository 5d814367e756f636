"""Operations and parameters in use: closed forms, parts that an input does not reach, one modality of two."""

import pytest
import torch
from torch import nn

from xkd_bench.errors import UsageError
from xkd_bench.models.cost import Cost, cost_of, operations
from xkd_bench.stages.cost import inference_cost

SMOKE = "deeplabv3plus-tu-mobilenetv3_small_050-w16"


class TwoWays(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared, self.other = nn.Linear(4, 8), nn.Linear(4, 8)
        self.dropout = nn.Dropout()
        self.register_parameter("unused", None)

    def forward(self, x, y=None):
        out = self.dropout(self.shared(x))
        return out if y is None else out + self.other(y)


def test_operations_are_those_of_the_closed_form():
    conv, x = nn.Conv2d(3, 5, 3, padding=1, bias=False), torch.zeros(2, 3, 6, 7)
    assert operations(lambda: conv(x)) == 2 * 2 * 5 * 6 * 7 * 3 * 9
    assert operations(lambda: torch.zeros(4, 6) @ torch.zeros(6, 5)) == 2 * 4 * 6 * 5
    assert operations(lambda: None) == 0


def test_what_an_input_does_not_reach_costs_nothing_and_modes_stay():
    network, x = TwoWays().train(), torch.zeros(3, 4)
    network.dropout.eval()
    assert cost_of(network, x) == Cost(2 * 3 * 4 * 8, 40)
    assert cost_of(network, x, x) == Cost(4 * 3 * 4 * 8, 80)
    assert network.training
    assert not network.dropout.training
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_on_meta_the_count_is_the_same():
    with torch.device("meta"):
        assert cost_of(TwoWays(), torch.zeros(3, 4)) == Cost(2 * 3 * 4 * 8, 40)


def test_the_fused_network_with_one_modality_costs_what_the_plain_one_does():
    found = inference_cost("csk-net", SMOKE, "smoke")
    assert found["operations"] == found["plain_operations"] > 1e6
    assert found["parameters"] == found["plain_parameters"]
    assert found["both_operations"] > 2 * found["plain_operations"], "fusion is not free: the count can tell"


def test_only_networks_for_segmentation_are_counted():
    with pytest.raises(UsageError, match="method 'cmc' is not for segmentation"):
        inference_cost("cmc", SMOKE, "smoke")
