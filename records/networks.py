"""The networks by the name on the command line and by the title in tables."""

TITLES = {
    "tunet": "TUNet",
    "msdnet": "MSDNet",
    "autoencoder": "autoencoder",
    "pconv": "partial convolution",
}
