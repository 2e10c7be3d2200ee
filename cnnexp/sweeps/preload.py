"""What the fork server imports before it forks: all that a job needs, some of it only in the midst of training."""

import importlib
import signal
import sys
from types import ModuleType

from cnnexp.sweeps.processes import end_with_parent

# Whoever waits for the launcher's output waits for the server as well, which may be in the midst of its imports.
end_with_parent()
# A Ctrl-C is for the launcher, which ends its jobs; the server would die of it with a traceback.
signal.signal(signal.SIGINT, signal.SIG_IGN)
# Where scipy is installed, torchmetrics takes a second to import its signal processing and give it an old name back. It
# finds a stand-in that has the name; whoever imports scipy.signal later gets the real one.
STAND_IN = ModuleType("scipy.signal")
STAND_IN.__dict__["hamming"] = None
if sys.modules.setdefault("scipy.signal", STAND_IN) is STAND_IN:
    importlib.import_module("torchmetrics")
    del sys.modules["scipy.signal"]
for name in (
    "pytorch_lightning.loggers",
    "torch._dynamo",  # torch's optimizers import it when the first one is made
    "torch.utils.serialization.config",
    "torch.utils.tensorboard",
    "tensorboard.compat.proto.event_pb2",
    "tensorboard.plugins.hparams.plugin_data_pb2",
    "PIL.PngImagePlugin",
    "fsspec.implementations.chained",
    "cnnexp.architecture.extensions",
    "cnnexp.architecture.parsing",
    "cnnexp.architecture.planning",
    "cnnexp.architecture.python",
    "cnnexp.architecture.table",
    "cnnexp.sweeps.child",
    "cnnexp.training.check",
    "cnnexp.views.graph",
):
    importlib.import_module(name)
