"""The local cluster: real processes that are started in order, watched, started again, and ended in order."""

from prosa.cluster.supervise.cluster import DESCRIPTION, Cluster
from prosa.cluster.supervise.patience import Patience
from prosa.cluster.supervise.services import Guard, guarding
from prosa.cluster.supervise.topology import PROSA, Description, Event, Happening, Process, Role, Topology

__all__ = [
    "DESCRIPTION",
    "PROSA",
    "Cluster",
    "Description",
    "Event",
    "Guard",
    "Happening",
    "Patience",
    "Process",
    "Role",
    "Topology",
    "guarding",
]
