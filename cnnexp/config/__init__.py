"""Hydra's composition as one call: choices and overrides in, a plain dict and the place of every value out.

The rest of cnnexp sees plain data only; nothing below this room knows Hydra or OmegaConf.
"""

from cnnexp.config import untrusted
from cnnexp.config.compose import Composer, Config, load_file, of_model, packaged

__all__ = ["Composer", "Config", "load_file", "of_model", "packaged", "untrusted"]
