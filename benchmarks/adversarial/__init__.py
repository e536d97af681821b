"""Benchmarks of ``sciml_zoo.adversarial``."""
