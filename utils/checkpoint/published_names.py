"""The published CSENet's tensor names, and how this project's readable names translate to them and back."""

import re
from collections.abc import Mapping

from torch import Tensor

_BACKBONE = "backbone."
_BACKBONE_TENSOR = re.compile(r"(conv[123]|bn[123]|layer[1-4])\.")
# What DistributedDataParallel, DataParallel and torch.compile put before every name.
_WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of this project's CSENet to the published names (without `module.`).

    Raises ValueError for a name that no CSENet has.
    """
    return {published_name(name): tensor for name, tensor in state.items()}


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published state dict, with or without `module.` before each name, to this project's names.

    Raises ValueError for a name that the published network does not have.
    """
    renamed = {}
    for name, tensor in strip_wrappers(state).items():
        if _BACKBONE_TENSOR.match(name):
            renamed[_BACKBONE + name] = tensor
        else:
            renamed[_translate(name, _OURS)] = tensor
    return renamed


def published_name(name: str) -> str:
    """Return the published name of one of this project's tensors."""
    return name.removeprefix(_BACKBONE) if name.startswith(_BACKBONE) else _translate(name, _PUBLISHED)


def imagenet_name(name: str) -> str | None:
    """Return a backbone tensor's name in `resnet101-imagenet.pth`, None for tensors outside the backbone."""
    return name.removeprefix(_BACKBONE) if name.startswith(_BACKBONE) else None


def timm_name(name: str) -> str | None:
    """Return a backbone tensor's name in timm's `resnet101s`, None for tensors outside the backbone."""
    imagenet = imagenet_name(name)
    if imagenet is None:
        return None
    module, _, leaf = imagenet.rpartition(".")
    return f"{_TIMM_STEM.get(module, module)}.{leaf}"


def strip_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the prefixes of DistributedDataParallel and torch.compile off the names.

    Raises ValueError if a tensor is there with and without them: one of the two would be lost.
    """
    stripped: dict[str, Tensor] = {}
    for name, tensor in state.items():
        bare = _WRAPPERS.sub("", name)
        if bare in stripped:
            raise ValueError(f"holds '{bare}' twice, with and without a prefix")
        stripped[bare] = tensor
    return stripped


def _translate(name: str, table: Mapping[str, str]) -> str:
    """Look up a parameter by its whole name, or by its module and keep the last part (weight, running_mean ...)."""
    if name in table:
        return table[name]
    module, _, leaf = name.rpartition(".")
    if module not in table:
        raise ValueError(f"'{name}' is not the name of a CSENet tensor")
    return f"{table[module]}.{leaf}"


def _conv_norm(ours: str, published: str, norm: str = "1") -> dict[str, str]:
    return {f"{ours}.conv": f"{published}.0", f"{ours}.norm": f"{published}.{norm}"}


def _conv_wrapped_norm(ours: str, published: str) -> dict[str, str]:
    """Affinity, edges and heads: the published norm is a module that wraps the BatchNorm."""
    return _conv_norm(ours, published, norm="1.0")


def _channel_enhancement(ours: str, published: str) -> dict[str, str]:
    ours += ".channel_enhancement"
    return {
        f"{ours}.high_descriptor": f"{published}.glpool_h.0",
        f"{ours}.low_descriptor": f"{published}.glpool_l.0",
        f"{ours}.reduce": f"{published}.conv_pool.0",
        f"{ours}.expand": f"{published}.conv_pool.2",
        f"{ours}.low_gate": f"{published}.gamma",
        f"{ours}.high_gate": f"{published}.beta",
        **_conv_norm(f"{ours}.low_conv", f"{published}.conv2d_l"),
        **_conv_norm(f"{ours}.high_conv", f"{published}.conv2d_h"),
    }


def _context_alignment() -> dict[str, str]:
    ours, published = "context_alignment", "PSPAlign"
    return {
        **_conv_norm(f"{ours}.summary.0", f"{published}.pool.1"),
        **_conv_norm(f"{ours}.summary.1", f"{published}.pool.2"),
        **_conv_norm(f"{ours}.adapt.0", f"{published}.adapt.0"),
        **_conv_norm(f"{ours}.adapt.1", f"{published}.adapt.1"),
        **_channel_enhancement(ours, published),
        **_conv_norm(f"{ours}.flow.0", f"{published}.delta_gen1.0"),
        f"{ours}.flow.2": f"{published}.delta_gen1.2",
        **_conv_norm(f"{ours}.compensation.difference", f"{published}.convWeight.0"),
        f"{ours}.compensation.weight": f"{published}.convWeight.2",
    }


def _class_distribution() -> dict[str, str]:
    ours, published = "class_distribution", "CDGNet"
    table = {
        f"{ours}.class_gate": f"{published}.gamma",
        f"{ours}.balance.reduce": f"{published}.conv_clsUp.0",
        f"{ours}.balance.expand": f"{published}.conv_clsUp.2",
        **_conv_norm(f"{ours}.merge.0", f"{published}.cmbFea.0"),
        **_conv_norm(f"{ours}.merge.1", f"{published}.cmbFea.1"),
    }
    for axis, number in (("rows", 1), ("columns", 2)):
        branch = f"{ours}.{axis}"
        table |= {
            **_conv_norm(f"{branch}.reduce", f"{published}.conv_hgt{number}"),
            **_conv_norm(f"{branch}.distribution.0", f"{published}.conv_hwPred{number}.0"),
            f"{branch}.distribution.1": f"{published}.conv_hwPred{number}.1",
            **_conv_norm(f"{branch}.attention.0", f"{published}.conv_upDim{number}.0"),
            f"{branch}.attention.1": f"{published}.conv_upDim{number}.1",
        }
    return table


def _enhancement_stage(number: int) -> dict[str, str]:
    ours, published = f"stage{number}", f"SPFlt{number}"
    align = f"{published}.AlignModule"
    return {
        **_conv_norm(f"{ours}.low_project", f"{published}.feat1_conv"),
        **_conv_norm(f"{ours}.high_project", f"{published}.feat2_conv"),
        **_channel_enhancement(ours, published),
        **_conv_norm(f"{ours}.low_reduce", f"{align}.down_l"),
        **_conv_norm(f"{ours}.high_reduce", f"{align}.down_h"),
        f"{ours}.high_flow.1": f"{align}.delta_gen1.1",
        f"{ours}.low_flow.1": f"{align}.delta_gen2.1",
        **_conv_norm(f"{ours}.compensation.difference", f"{align}.weight_conv.0"),
        f"{ours}.compensation.weight": f"{align}.weight_conv.2",
        **_conv_norm(f"{ours}.merge", f"{published}.feat_cmb"),
    }


def _affinity_edges_heads() -> dict[str, str]:
    return {
        **_conv_wrapped_norm("pixel_affinity.detail", "Attention.conv1"),
        **_conv_wrapped_norm("pixel_affinity.context.0", "Attention.conv2"),
        "pixel_affinity.context.1.conv": "Attention.conv2.2",
        "pixel_affinity.context.1.norm": "Attention.conv2.3.0",
        **_conv_wrapped_norm("pixel_affinity.embed", "Attention.conv3"),
        **_conv_wrapped_norm("pixel_affinity.refine", "Attention.conv4"),
        **_conv_wrapped_norm("pixel_affinity.merge", "Attention.addCAM"),
        "body_head.conv": "Attention.seg.1",
        **_conv_wrapped_norm("edge.detail", "edge.conv1"),
        **_conv_wrapped_norm("edge.combine", "edge.conv2"),
        "edge.classifier.conv": "edge.conv_edge.1",
        **_conv_wrapped_norm("edge.merge", "cmbEdge"),
        **_conv_wrapped_norm("coarse_head.reduce", "seg1"),
        "coarse_head.classifier.conv": "seg1.3",
        **_conv_wrapped_norm("final_head.reduce", "seg3"),
        "final_head.classifier.conv": "seg3.3",
    }


# This project's modules (and bare parameters) outside the backbone -> their published names, and back.
_PUBLISHED = {
    **_context_alignment(),
    **_class_distribution(),
    **{ours: theirs for stage in (1, 2, 3, 4) for ours, theirs in _enhancement_stage(stage).items()},
    **_affinity_edges_heads(),
}
_OURS = {published: ours for ours, published in _PUBLISHED.items()}

_TIMM_STEM = {
    "conv1": "conv1.0",
    "bn1": "conv1.1",
    "conv2": "conv1.3",
    "bn2": "conv1.4",
    "conv3": "conv1.6",
    "bn3": "bn1",
}
