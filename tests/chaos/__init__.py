"""Send jobs of all kinds while processes, Redis and the API are broken; a seed draws the jobs and the blows (`make chaos`)."""
