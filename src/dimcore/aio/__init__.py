"""Coroutines of requests: the tasks that run them and what wakes them."""
