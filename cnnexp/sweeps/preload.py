"""What the fork server imports before it forks: all that a job needs, some of it only in the midst of training."""

# Whoever waits for the launcher's output waits for the server as well, which may be in the midst of its imports.
from cnnexp.sweeps.processes import end_with_parent

end_with_parent()


import cnnexp.architecture.parsing  # noqa: E402
import cnnexp.architecture.planning  # noqa: E402
import cnnexp.architecture.python  # noqa: E402
import cnnexp.architecture.table  # noqa: E402
import cnnexp.sweeps.child  # noqa: E402
import cnnexp.training.check  # noqa: E402, F401
