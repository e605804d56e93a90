"""Networks by name; one file each. Nothing here needs Ray but `trainables.trial`."""

from torch import nn

from trainables.autoencoder import Autoencoder
from trainables.msdnet import MSDNet
from trainables.pconv import PartialConvolutionNetwork
from trainables.tunet import TUNet

NETWORKS: dict[str, type[nn.Module]] = {
    "tunet": TUNet,
    "msdnet": MSDNet,
    "autoencoder": Autoencoder,
    "pconv": PartialConvolutionNetwork,
}
