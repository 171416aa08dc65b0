"""Ultrasound of the breast: from a received object to standardised pictures."""
