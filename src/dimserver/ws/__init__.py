"""WebSocket above the frames: handshake, compression, and the object a handler talks to."""
