"""Clips and training loops for the depth networks."""
