"""`wire_server` with the methods of gRPC's interoperability cases: grpcio's asyncio server."""

import asyncio
import json
import sys

from tests.interop.methods import HANDLERS
from tests.support import wire_server

if __name__ == "__main__":
    wire_server.PLAIN.update(HANDLERS)
    asyncio.run(wire_server.serve(json.loads(sys.argv[1])))
