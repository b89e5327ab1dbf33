"""Edge branch: edge detection beside parsing, as in CE2P (Ruan et al., AAAI 2019), which guides the final map.

    q' = q + q argmax(edge logits)

with q the branch's features and the argmax 0 (no edge) or 1 (edge), through which no gradient flows.
"""

from torch import Tensor, nn

from modules.layers import classifier, conv_bn_act, joined_conv_bn_act


class EdgeBranch(nn.Module):
    """Predict edges from the refined map and C2, and double the branch's features where an edge is found.

    Args:
        detail_channels: of C2. channels: C, of the refined map.
    """

    def __init__(self, detail_channels: int, channels: int) -> None:
        super().__init__()
        self.detail = conv_bn_act(detail_channels, 64, 3)
        self.combine = conv_bn_act(channels + 64, channels, 3)
        self.classifier = classifier(channels, 2)
        self.merge = conv_bn_act(2 * channels, channels, 3)

    def forward(self, x: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (N, C, H, W) and C2 (`detail`, same height and width) to the sharpened map (N, C, H, W) and the
        edge logits (N, 2, H, W): channel 0 no edge, channel 1 edge."""
        features = joined_conv_bn_act(self.combine, x, self.detail(detail))
        logits = self.classifier(features)
        is_edge = logits.argmax(dim=1, keepdim=True).to(features.dtype)
        return joined_conv_bn_act(self.merge, x, features * (1 + is_edge)), logits
