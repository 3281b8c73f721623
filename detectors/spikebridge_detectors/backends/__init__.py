"""What else can run a network, each outside this process and held to the engine's own spikes."""
