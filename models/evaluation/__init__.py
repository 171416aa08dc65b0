"""Evaluation: from predictions and truth to the figures and plots of the papers. Nothing here reads images or runs models."""
