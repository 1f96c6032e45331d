"""Agents that were trained: what they see, their network, and the files of a policy."""
