"""Programs of other environments, which load exported models there."""
