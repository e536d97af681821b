"""Interatomic potentials: accuracy, cost, dynamics, and peers in environments of their own."""
