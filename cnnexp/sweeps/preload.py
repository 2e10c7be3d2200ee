"""What the fork server imports before it forks: all that a job needs, some of it only in the midst of training."""

import atexit
import os

import pytorch_lightning.loggers  # noqa: F401
import torch._dynamo  # torch's optimizers import it when the first one is made
import torch.utils.tensorboard  # noqa: F401

import cnnexp.architecture.parsing
import cnnexp.architecture.planning
import cnnexp.architecture.python
import cnnexp.architecture.table
import cnnexp.sweeps.child
import cnnexp.training.check  # noqa: F401

# Taking all of this apart again would keep whoever waits for the command's output waiting for seconds.
atexit.register(os._exit, 0)
