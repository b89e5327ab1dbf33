"""The networks: `from networks import CSENet`."""

from networks.csenet import CSENet, CSENetOutput
from networks.resnet import ResNet

__all__ = ["CSENet", "CSENetOutput", "ResNet"]
