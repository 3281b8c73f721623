"""
The composition root: configuration in, running service out.

`Service` opens spool and store, publishes mappings and inventory, and runs the stages in threads of their own.
Nothing below knows which others there are.
"""

from spikebridge.app.parts import Parts, Stages
from spikebridge.app.service import Service
from spikebridge.app.status import Status, read_status

__all__ = ["Parts", "Service", "Stages", "Status", "read_status"]
