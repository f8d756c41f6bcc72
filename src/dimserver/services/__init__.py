"""What outlives a request and is not a handler: connections to other servers."""
