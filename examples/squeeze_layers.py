"""A layer of your own: squeeze and excitation (Hu et al., 2018) weighs the channels by what they hold on average.

Beside this file, `conf/model/squeeze.yaml` uses it, and one line names it:

    python -m cnnexp model=squeeze 'extensions=[squeeze_layers]'
"""

from torch import Tensor, nn

import cnnexp


@cnnexp.layer(infer={"channels": 0}, rules={"reduction": {"least": 1}})
class SqueezeExcite(nn.Module):
    """Every channel multiplied by a weight between 0 and 1 that all channels' means decide together.

    Arguments:
        channels: the channels of the input (batch, channels, height, width); inferred when left out in YAML.
        reduction: how many times fewer numbers the means are squeezed into.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.weigh(x)
        return x * weights
