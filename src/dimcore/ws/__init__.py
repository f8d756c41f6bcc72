"""WebSockets: frames, messages, sockets."""
