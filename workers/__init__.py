"""Everything that runs the actors: the durable broker, the event loop, the processes, and the command line."""
