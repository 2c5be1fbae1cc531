"""Limits and columns that several findings share."""

MANY = 10  # networks, or kernels of a label, below which there is no finding
SHARE = ["share", "share_low", "share_high"]
