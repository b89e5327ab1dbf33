"""The published CSENet's tensor names, and how this project's readable names translate to them and back."""

import itertools
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
    return {
        _BACKBONE + name if _BACKBONE_TENSOR.match(name) else _translate(name, _OURS): tensor
        for name, tensor in strip_wrappers(state).items()
    }


def published_name(name: str) -> str:
    """Return the published name of one of this project's tensors."""
    return imagenet_name(name) or _translate(name, _PUBLISHED)


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


def _expanded(table: Mapping[str, str]) -> dict[str, str]:
    """Return a table in which braces are expanded on either side as a shell does it: "a{b,c}" stands for "ab", "ac"."""

    def names(pattern: str) -> list[str]:
        alternatives = (part.split(",") for part in re.split("[{}]", pattern))
        return ["".join(chosen) for chosen in itertools.product(*alternatives)]

    return {
        ours: theirs
        for pattern, their_pattern in table.items()
        for ours, theirs in zip(names(pattern), names(their_pattern), strict=True)
    }


_ENHANCEMENT = "{context_alignment,stage1,stage2,stage3,stage4}.channel_enhancement"
_THEIR_ENHANCEMENT = "{PSPAlign,SPFlt1,SPFlt2,SPFlt3,SPFlt4}"

# This project's modules (and bare parameters) outside the backbone -> their published names, and back. In affinity,
# edges and heads the published norm (1.0) is a module that wraps the BatchNorm.
_PUBLISHED = _expanded(
    {
        _ENHANCEMENT + ".{high,low}_descriptor": _THEIR_ENHANCEMENT + ".glpool_{h,l}.0",
        _ENHANCEMENT + ".{reduce,expand}": _THEIR_ENHANCEMENT + ".conv_pool.{0,2}",
        _ENHANCEMENT + ".{low,high}_gate": _THEIR_ENHANCEMENT + ".{gamma,beta}",
        _ENHANCEMENT + ".{low,high}_conv.{conv,norm}": _THEIR_ENHANCEMENT + ".conv2d_{l,h}.{0,1}",
        "context_alignment.summary.{0,1}.{conv,norm}": "PSPAlign.pool.{1,2}.{0,1}",
        "context_alignment.adapt.{0,1}.{conv,norm}": "PSPAlign.adapt.{0,1}.{0,1}",
        "context_alignment.flow.0.{conv,norm}": "PSPAlign.delta_gen1.0.{0,1}",
        "context_alignment.flow.2": "PSPAlign.delta_gen1.2",
        "context_alignment.compensation.difference.{conv,norm}": "PSPAlign.convWeight.0.{0,1}",
        "context_alignment.compensation.weight": "PSPAlign.convWeight.2",
        "class_distribution.class_gate": "CDGNet.gamma",
        "class_distribution.balance.{reduce,expand}": "CDGNet.conv_clsUp.{0,2}",
        "class_distribution.merge.{0,1}.{conv,norm}": "CDGNet.cmbFea.{0,1}.{0,1}",
        "class_distribution.{rows,columns}.reduce.{conv,norm}": "CDGNet.conv_hgt{1,2}.{0,1}",
        "class_distribution.{rows,columns}.distribution.0.{conv,norm}": "CDGNet.conv_hwPred{1,2}.0.{0,1}",
        "class_distribution.{rows,columns}.distribution.1": "CDGNet.conv_hwPred{1,2}.1",
        "class_distribution.{rows,columns}.attention.0.{conv,norm}": "CDGNet.conv_upDim{1,2}.0.{0,1}",
        "class_distribution.{rows,columns}.attention.1": "CDGNet.conv_upDim{1,2}.1",
        "stage{1,2,3,4}.{low,high}_project.{conv,norm}": "SPFlt{1,2,3,4}.feat{1,2}_conv.{0,1}",
        "stage{1,2,3,4}.{low,high}_reduce.{conv,norm}": "SPFlt{1,2,3,4}.AlignModule.down_{l,h}.{0,1}",
        "stage{1,2,3,4}.{high,low}_flow.1": "SPFlt{1,2,3,4}.AlignModule.delta_gen{1,2}.1",
        "stage{1,2,3,4}.compensation.difference.{conv,norm}": "SPFlt{1,2,3,4}.AlignModule.weight_conv.0.{0,1}",
        "stage{1,2,3,4}.compensation.weight": "SPFlt{1,2,3,4}.AlignModule.weight_conv.2",
        "stage{1,2,3,4}.merge.{conv,norm}": "SPFlt{1,2,3,4}.feat_cmb.{0,1}",
        "pixel_affinity.detail.{conv,norm}": "Attention.conv1.{0,1.0}",
        "pixel_affinity.context.{0,1}.{conv,norm}": "Attention.conv2.{0,1.0,2,3.0}",
        "pixel_affinity.{embed,refine,merge}.{conv,norm}": "Attention.{conv3,conv4,addCAM}.{0,1.0}",
        "body_head.conv": "Attention.seg.1",
        "edge.{detail,combine}.{conv,norm}": "edge.conv{1,2}.{0,1.0}",
        "edge.classifier.conv": "edge.conv_edge.1",
        "edge.merge.{conv,norm}": "cmbEdge.{0,1.0}",
        "{coarse,final}_head.reduce.{conv,norm}": "seg{1,3}.{0,1.0}",
        "{coarse,final}_head.classifier.conv": "seg{1,3}.3",
    }
)
_OURS = {published: ours for ours, published in _PUBLISHED.items()}
_TIMM_STEM = _expanded({"conv{1,2,3}": "conv1.{0,3,6}", "bn{1,2,3}": "{conv1.1,conv1.4,bn1}"})
