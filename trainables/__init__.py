"""Networks by name; one file each. Nothing here needs Ray but `trainables.trial`."""

from torch import nn

from trainables.tunet import TUNet

NETWORKS: dict[str, type[nn.Module]] = {"tunet": TUNet}
