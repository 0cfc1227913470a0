"""What a training run needs: memory, disk, network, time. Arithmetic alone, free of torch."""
