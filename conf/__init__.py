"""Hydra configs: values only, composed through pkg://conf."""
