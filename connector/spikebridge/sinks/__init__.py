"""
Where findings go: one module each, with `Settings` and a class of three methods (`spikebridge.delivery.Sink`).

A sink is made of its settings and the data directory of the instance.
"""
