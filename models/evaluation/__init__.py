"""Evaluation: from predictions and truth to figures and plots. Nothing here reads images or runs models."""
