"""Pieces of networks that know nothing of muscles."""
