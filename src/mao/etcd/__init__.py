"""Speaking with etcd: a thin client of its v3 API, on grpc.

Only what has chosen etcd imports what is in here: grpc takes longer to load than all the rest.
"""

import os

# Read by grpc when it is loaded. It would hold up every fork to make it safe for a child that goes on using grpc; ours
# run other programs. What it has to say comes as errors, and not a second time on stderr.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
