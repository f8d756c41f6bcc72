"""Filters: what stands between requests and handlers, and between answers and the writer."""
