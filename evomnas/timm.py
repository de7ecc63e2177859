"""Networks for timm: `import evomnas.timm`, then `timm.create_model("evomnas", network=...)`.

`evomnas.deploy.hubs.timm_models.evomnas` says what `network` may be.
"""

from __future__ import annotations

from evomnas.core.errors import InputError

try:
    from evomnas.deploy.hubs.timm_models import TimmNetwork, evomnas
except ImportError as error:
    if error.name is None or error.name.partition(".")[0] != "timm":
        raise
    raise InputError("evomnas.timm needs timm: pip install 'evomnas[timm]'") from None

__all__ = ["TimmNetwork", "evomnas"]
