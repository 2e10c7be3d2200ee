"""A YAML layer stack becomes a shape-checked Plan and an nn.Sequential.

Knows torch; knows no Hydra, Lightning or files.
"""
