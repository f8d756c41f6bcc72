"""Servers against servers on loopback, beside a bare C responder in the same run.

``python -m bench.load --help``, and ``bench/README.md`` for the method.
"""
