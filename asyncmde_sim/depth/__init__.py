"""The networks of AsyncMDE: slow path, fast path, spatial memory, losses and weights."""
