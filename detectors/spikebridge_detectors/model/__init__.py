"""
Model files: a network with all that is needed to run it, signed, in one file of at most 64 KiB.

`header` is what a model says of itself, `synapses` weights as bits, `container` the bytes, `keys` who signed them, `file` the whole.
"""
