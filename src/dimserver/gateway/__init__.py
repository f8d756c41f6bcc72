"""Apps that were written for another interface, as handlers of this server."""
