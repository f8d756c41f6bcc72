"""Requests and routes."""
