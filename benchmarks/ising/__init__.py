"""Benchmarks of ``sciml_zoo.ising``."""
