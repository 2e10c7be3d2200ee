"""From a Plan to trained weights: LightningModules, the Trainer's wiring, callbacks.

`check` and `catalogs` import no Lightning.
"""
