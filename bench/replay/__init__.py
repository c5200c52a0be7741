"""What the order of the queue is worth on real histories: replayed in virtual time, or live by a real worker."""
