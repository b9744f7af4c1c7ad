"""One chain, or a few, for a whole set of samples: what holds on inputs whose answers nobody looked at."""
