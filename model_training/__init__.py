"""Data sets, the plate generator, architectures, training and export of platebeam's models."""
