"""What happens to the requests of an instance that is taken away."""
