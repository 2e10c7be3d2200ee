"""What the fork server imports before it forks: all that a job needs, some of it only in the midst of training."""

import importlib
import signal

from cnnexp.sweeps.processes import end_with_parent

# Whoever waits for the launcher's output waits for the server as well, which may be in the midst of its imports.
end_with_parent()
# A Ctrl-C is for the launcher, which ends its jobs; the server would die of it with a traceback.
signal.signal(signal.SIGINT, signal.SIG_IGN)
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
