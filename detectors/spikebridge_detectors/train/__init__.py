"""Learning from captures: what is normal for a class of devices, step by step, kept, measured and shown."""
