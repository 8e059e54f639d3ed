"""What a running service says of the age of its features (`features.freshness`), asked over HTTP."""

import json
import urllib.request
from typing import Any

from core.errors import BadInput

_TIMEOUT_S = 5.0


def ask(url: str) -> list[dict[str, Any]]:
    """The ages of all groups.

    Raises:
        BadInput: nothing answers there, or something else than this service does.
    """
    address = f"{url.rstrip('/')}/ops/summary"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as response:
            return list(json.loads(response.read())["freshness"])
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{address} does not say how fresh features are ({error}); start `upnext serve`, or name it with --url"
        ) from error
