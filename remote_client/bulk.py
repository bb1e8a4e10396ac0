"""Many rows through one method: a table, a corpus, a file. Blocking: the same names in `remote_client.sync.bulk`.

`map_rows` finds how many calls the server takes at a time, waits for a server that is away, and goes on where it was
stopped.
"""

from __future__ import annotations

from ._bulk.frames import map_frame
from ._bulk.iterator import MapRows, map_rows
from ._bulk.map import Done, Failed
from ._bulk.progress import Progress

__all__ = ["Done", "Failed", "MapRows", "Progress", "map_frame", "map_rows"]
