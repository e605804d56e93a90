"""Classical fills: linear, slanted, biharmonic, along rings, by symmetry."""
