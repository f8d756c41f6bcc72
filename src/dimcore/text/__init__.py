"""Bytes and text: scanners, percent-encoding, UTF-8 and field names."""
