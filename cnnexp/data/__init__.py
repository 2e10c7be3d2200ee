"""Data sets by name: held as uint8 tensors, read a batch at a time, normalised on the device."""
