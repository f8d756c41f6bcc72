"""HTTP/1.1 on the wire: heads and bodies read, heads written."""
