"""Evaluation: from predictions and truth to the papers' figures and plots. Nothing here reads images or runs models."""
