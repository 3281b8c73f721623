"""
Weights learned by surrogate gradients, with snnTorch in a process and an environment of its own: torch is large, and nothing else needs it.

`plan` says what to learn, `environment` where torch is, `process` runs the child with its limits, `learn` asks it and holds its answer to our engine.
"""
