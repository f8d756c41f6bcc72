"""The Python side of HTTP."""
