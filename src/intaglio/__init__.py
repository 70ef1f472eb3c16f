"""Intaglio carves trained neural networks into custom hardware."""
