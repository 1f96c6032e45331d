"""The ``habitat`` backend: Habitat-Sim in a process and under an interpreter of its own."""
