"""Time, over the graph that DVC owns: runs, schedules, retries and retraining, by Prefect.

Prefect reads its settings once, on import, so they stand here; what the environment says goes
first. A server, a worker and a flow that find each other by default share this project's folder.
"""

import os
from pathlib import Path

SETTINGS = {
    "PREFECT_HOME": str(Path(__file__).resolve().parent.parent / ".prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # with it, SQLite's "database is locked" was seen
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 14 s on a fresh home when idle, 20 by default
}
for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)
