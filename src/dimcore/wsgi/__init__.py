"""The WSGI gateway's compiled half."""
