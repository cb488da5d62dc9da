"""The composition root: settings → adapters → use-cases → gateway and worker. Only this room names implementations."""

from prosa.bootstrap.backup import backup, restore
from prosa.bootstrap.backup import check as check_backup
from prosa.bootstrap.distributed import broker_check, for_several, gateway, worker
from prosa.bootstrap.embedded import serve
from prosa.bootstrap.engines import engines
from prosa.bootstrap.foundation import Common
from prosa.bootstrap.gateway import SOCKETS_A_USER, make_hub, make_intake
from prosa.bootstrap.server import OPEN_FILES
from prosa.bootstrap.upkeep import accounts, migrate, store_check, traces_check
from prosa.bootstrap.worker import make_worker

__all__ = [
    "OPEN_FILES",
    "SOCKETS_A_USER",
    "Common",
    "accounts",
    "backup",
    "broker_check",
    "check_backup",
    "engines",
    "for_several",
    "gateway",
    "make_hub",
    "make_intake",
    "make_worker",
    "migrate",
    "restore",
    "serve",
    "store_check",
    "traces_check",
    "worker",
]
