"""The ASGI gateway's compiled half."""
