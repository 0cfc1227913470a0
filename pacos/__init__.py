"""What more than one stage needs: configs, run directory, prompt formats, tracking, ranks."""

__version__ = "0.1.0"
