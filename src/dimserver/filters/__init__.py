"""What happens around a handler."""
