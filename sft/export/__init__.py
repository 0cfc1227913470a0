"""The trained model as a directory that other libraries load."""
