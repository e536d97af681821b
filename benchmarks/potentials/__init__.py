"""Interatomic potentials: accuracy and dynamics."""
