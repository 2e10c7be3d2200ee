"""Sweeps: expand a grid, check every point before the first one starts, run them."""
