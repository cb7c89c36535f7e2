"""Everything at once: jobs of all kinds, while processes, Redis and the API are broken, drawn from a seed (`make chaos`)."""
