"""Rows of the README's table of measured claims, one module a domain: what, figure, benchmark."""
