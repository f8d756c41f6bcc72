"""The event loop, listeners and threads."""
