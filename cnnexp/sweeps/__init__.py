"""Sweeps: points checked before the first one runs, jobs in processes of their own, a record that can be resumed."""
