"""The cards of data sets and models, in the format of the Hugging Face hub."""
