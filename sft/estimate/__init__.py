"""The memory, disk, network and time that a training run needs: arithmetic only, without torch."""
