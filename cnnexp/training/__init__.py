"""From a Plan to trained weights: LightningModules, the Trainer's wiring, callbacks. Checks here import no Lightning."""
