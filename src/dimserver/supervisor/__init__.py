"""The supervisor: the process that starts, watches and replaces workers."""
