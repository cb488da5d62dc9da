"""The model that answers offline, in the process."""

from prosa.adapters.local_engine.engine import LocalEngine, LocalOptions

__all__ = ["LocalEngine", "LocalOptions"]
