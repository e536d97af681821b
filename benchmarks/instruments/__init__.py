"""Measured claims about the instruments and optimizers, each a command."""
