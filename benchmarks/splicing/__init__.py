"""Benchmarks of ``sciml_zoo.splicing``."""
