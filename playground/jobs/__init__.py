"""Long work in processes of its own: a durable queue, one worker per device, everything on disk."""
