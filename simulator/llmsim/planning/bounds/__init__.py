"""What arithmetic alone says of a fleet: what it cannot do, and how large it should be to begin with.

A bound never guesses: what it rules out would have failed in the simulator, which a property test tries.
Each floor is a cost that no batch, no order and no router undercuts. Where a scenario holds something
that a bound does not cover (spot instances, an autoscaler, several pools, a cost model that promises
nothing), it says nothing. An estimate (:mod:`llmsim.planning.bounds.queueing`) only orders the search.
"""

from llmsim.planning.bounds.bounds import Bounds, find_bounds
from llmsim.planning.bounds.offered import Offered, draw_offered

__all__ = ["Bounds", "Offered", "draw_offered", "find_bounds"]
