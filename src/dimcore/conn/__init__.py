"""Connections: what arrives, what is answered, what is sent, and when it ends."""
