"""What is trained on and evaluated: the manifest, its images, and importers of public data sets."""
