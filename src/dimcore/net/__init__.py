"""Descriptors and addresses."""
