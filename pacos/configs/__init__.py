"""Config types shared by stages, and how they are composed, checked and frozen."""
